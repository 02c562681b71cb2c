#pragma once  // local/runtime/claim_locks.h: the folders of claims belong to one run at a time
#include <filesystem>
#include <map>
#include <string>

#include "common/base/result.h"
#include "common/platform/file_descriptor.h"

namespace muster::local {

// A checkpoint folder has one writer: two runs with one output folder must not share a claim. The lock is the
// kernel's on the folder itself, so it leaves no file and goes with the process that holds it.
class ClaimLocks {  // one thread
 public:
  // Holds `folder` until the end; again is no error. kFailedPrecondition: another process holds it.
  [[nodiscard]] Status hold(const std::filesystem::path& folder);

 private:
  std::map<std::string, FileDescriptor> held_;  // by folder
};

}  // namespace muster::local
