#pragma once  // cli/run_session.h: follows the jobs of a run over the API and shows them until all have ended
#include <memory>
#include <vector>

#include "cli/console.h"
#include "cli/monitor.h"
#include "common/platform/mutex.h"
#include "common/platform/signals.h"
#include "kube/informer.h"

namespace muster::cli {

class RunSession {
 public:
  struct Options {
    std::optional<std::chrono::seconds> timeout;
    bool verbose = false;  // events too
  };
  enum class End { kDone, kInterrupted, kTimeout };

  // All references must outlive the session. `console` receives the progress.
  RunSession(kube::Client& client, SignalWaiter& signals, Console& console, Monitor& monitor,
             Options options);
  ~RunSession();

  // Blocks until every job of `monitor` has ended, a signal came, or the timeout passed.
  [[nodiscard]] End follow();
  void show(const std::string& line);  // above the live block

 private:
  struct Seen {
    enum class What { kJob, kPod, kEvent } what;
    kube::Object object;
    bool deleted;
  };
  void start_watches();
  void push(Seen seen);
  void take_in();
  void fetch_log(const Json& pod);
  void draw();
  [[nodiscard]] bool wait(std::chrono::milliseconds timeout);  // true: a signal has come

  kube::Client& client_;
  SignalWaiter& signals_;
  Console& console_;
  Monitor& monitor_;
  Options options_;
  int wake_fd_;
  Mutex mutex_;
  std::vector<Seen> seen_ MUSTER_GUARDED_BY(mutex_);
  std::vector<std::string> lines_ MUSTER_GUARDED_BY(mutex_);
  LiveBlock block_;
  std::vector<std::unique_ptr<kube::Informer>> informers_;
};

}  // namespace muster::cli
