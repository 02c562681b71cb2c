#pragma once  // cli/describe.h: `muster describe KIND NAME`: the object, its conditions, its pods, what
              // happened
#include <string>

#include "cli/get.h"

namespace muster::cli {

struct DescribeOptions {
  QueryOptions query;
  std::string kind, name;
};

[[nodiscard]] int describe(const DescribeOptions& options);

}  // namespace muster::cli
