// local/api/faults.cc: which request meets which fault
#include "local/api/faults.h"

namespace muster::local {

void Faults::add(Fault fault) {
  const std::lock_guard lock(mutex_);
  script_.push_back(std::move(fault));
}

std::optional<Fault> Faults::next(std::string_view method, std::string_view path) {
  const std::lock_guard lock(mutex_);
  for (Fault& fault : script_) {
    if (fault.count == 0 || (!fault.method.empty() && fault.method != method)) continue;
    if (path.find(fault.path_contains) == std::string_view::npos) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    --fault.count;
    return fault;
  }
  return std::nullopt;
}

}  // namespace muster::local
