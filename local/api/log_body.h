#pragma once  // local/api/log_body.h: the body of pods/log, and which container it is of
#include <atomic>
#include <memory>
#include <thread>

#include "local/api/api_error.h"
#include "local/api/http_message.h"
#include "local/api/log_source.h"

namespace muster::local {

// The container to read: the named one, else the pod's only one. 400 if it is ambiguous, unknown, or has
// not started.
[[nodiscard]] ApiResult<std::string> choose_container(const Json& pod, const std::string& name,
                                                      bool previous);

// Reads on a thread of its own while it follows, so that waiting for the next line holds nothing up.
class LogBody : public BodyStream {
 public:
  LogBody(std::unique_ptr<LogStream> log, bool follow);
  ~LogBody() override;
  State pull(std::string& out) override;
  void when_ready(std::function<void()> ready) override;
  void close() override;

 private:
  struct Shared;
  static void follow_loop(const std::shared_ptr<Shared>& shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace muster::local
