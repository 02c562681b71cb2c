#pragma once  // operator/shell/progress_relay.h: requests passed on from a replica that stands by to the one
              // that leads
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/crypto/tls.h"
#include "common/platform/http_message.h"
#include "common/platform/mutex.h"

namespace muster::op {

// A few at once, each with a deadline, in which it waits, too: what comes late would undo what is newer.
// Beyond so many that wait, the next is refused at once. Thread-safe.
class ProgressRelay {
 public:
  static constexpr int kThreads = 4;
  static constexpr std::size_t kWaitingMax = 64;
  static constexpr std::chrono::seconds kPatience{4};       // programs wait for 5 s
  static constexpr const char* kHeader = "muster-relayed";  // so that none is passed on twice

  ProgressRelay();
  ~ProgressRelay();  // gives up what is under way

  // `address`: "ip:port". `tls` says whom is believed there. `done` is called once, on any thread. Errors:
  // kResourceExhausted: too many wait; kUnavailable, kDeadlineExceeded: why there is no answer.
  using Done = std::function<void(Result<HttpAnswer>)>;
  void pass_on(std::string address, TlsContext tls, HttpRequest request, Done done) MUSTER_EXCLUDES(mutex_);

 private:
  struct Errand {
    Deadline deadline;
    std::string address;
    TlsContext tls;
    HttpRequest request;
    Done done;
  };
  void work(const std::stop_token& stop) MUSTER_EXCLUDES(mutex_);

  Mutex mutex_;
  Condition wake_;
  std::deque<Errand> errands_ MUSTER_GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;  // last: they use the others
};

}  // namespace muster::op
