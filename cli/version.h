#pragma once  // cli/version.h: `muster version`
#include "cli/get.h"

namespace muster::cli {

struct VersionOptions {
  QueryOptions query;  // its namespace says nothing
  bool client_only = false;
  bool json = false;
};

[[nodiscard]] int version(const VersionOptions& options);

}  // namespace muster::cli
