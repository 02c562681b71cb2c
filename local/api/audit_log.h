#pragma once  // local/api/audit_log.h: who asked for what, a line each, as Kubernetes' audit log has it
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/mutex.h"
#include "local/api/access.h"

namespace muster::local {

// audit.k8s.io/v1 Events at level Metadata. A watch or log is written as it begins (ResponseStarted), all
// else when it is answered. Thread-safe.
class AuditLog {
 public:
  // Adds to the file, mode 0600. kFailedPrecondition: it cannot be opened.
  [[nodiscard]] static Result<std::unique_ptr<AuditLog>> open(const std::filesystem::path& file);

  struct Entry {
    const HttpRequest& request;
    const HttpResponse& response;
    const User& user;
    const Access& access;
    bool allowed = true;  // by roles
    WallTime received;
  };
  void write(const Entry& entry);

 private:
  explicit AuditLog(FileDescriptor file) : file_(std::move(file)) {}

  Mutex mutex_;
  FileDescriptor file_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::local
