#pragma once  // local/api/log_source.h: where the API server reads the logs of containers; the runtime
              // implements it
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"

namespace muster::local {

struct LogQuery {
  std::string pod_namespace;
  std::string pod;
  std::string uid;        // of the pod: a new pod of the same name has another log
  std::string container;  // always set; the API server has checked that the pod has it
  bool follow = false;
  bool previous = false;    // of the container's run before this one
  bool timestamps = false;  // "2026-01-02T03:04:05.000000006Z " before every line
  std::optional<std::int64_t> tail_lines;
  std::optional<std::int64_t> since_seconds;
  std::optional<std::string> since_time;  // RFC 3339
  std::optional<std::int64_t> limit_bytes;
};

class LogStream {  // one thread at a time
 public:
  virtual ~LogStream() = default;
  // The next bytes, whole lines where possible, at most 64 KiB. "" when nothing came within `wait`
  // (only if following: else it does not wait). nullopt at the end: not following, or the container ended.
  [[nodiscard]] virtual Result<std::optional<std::string>> read(std::chrono::milliseconds wait) = 0;
};

class LogSource {  // thread-safe
 public:
  virtual ~LogSource() = default;
  // kNotFound if that container (or its previous run) has written no log; the message is shown to the user.
  [[nodiscard]] virtual Result<std::unique_ptr<LogStream>> open(const LogQuery& query) = 0;
};

}  // namespace muster::local
