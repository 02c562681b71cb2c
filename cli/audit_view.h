#pragma once  // cli/audit_view.h: whether every example of a job counted once an epoch, as its status tells
              // it
#include <string>

#include "common/json/fields.h"

namespace muster::cli {

struct Audit {
  std::string text;  // a table of the epochs, and what it comes to
  bool balances =
      false;  // of all epochs that are told; nothing is told yet: true while the job has not ended
};

// Of a DistributedJob. Total: what is absent or of another type is taken for 0.
[[nodiscard]] Audit audit_of(const Json& object);

}  // namespace muster::cli
