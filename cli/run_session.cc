// cli/run_session.cc: follows the jobs of a run over the API and shows them until all have ended
#include "cli/run_session.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>

#include "cli/describe_view.h"
#include "common/base/text.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kRedraw = 250ms;      // fast enough to look alive
constexpr auto kLastWords = 3000ms;  // after the last job ended, for the pods' termination messages to arrive
constexpr std::int64_t kLogLines = 20;

Instant now() { return std::chrono::steady_clock::now(); }

}  // namespace

RunSession::RunSession(kube::Client& client, SignalWaiter& signals, Console& console, Monitor& monitor,
                       Options options)
    : client_(client),
      signals_(signals),
      console_(console),
      monitor_(monitor),
      options_(options),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

RunSession::~RunSession() {
  informers_.clear();  // they call push()
  ::close(wake_fd_);
}

void RunSession::push(Seen seen) {
  {
    const MutexLock lock(mutex_);
    seen_.push_back(std::move(seen));
  }
  const std::uint64_t one = 1;
  if (::write(wake_fd_, &one, sizeof one) < 0) return;  // the counter is full: it is readable already
}

void RunSession::start_watches() {
  const auto add = [this](const kube::Resource& resource, Seen::What what, const std::string& selector) {
    kube::Informer::Options informer;
    informer.label_selector = selector;
    informer.on_change = [this, what](const kube::Object& object, bool deleted) {
      push({what, object, deleted});
    };
    if (options_.verbose) {
      informer.on_problem = [this](const std::string& problem) {
        const MutexLock lock(mutex_);
        lines_.push_back("watch: " + printable(problem));
      };
    }
    informers_.push_back(std::make_unique<kube::Informer>(client_, resource, std::move(informer)));
    informers_.back()->start();
  };
  add(kube::kDistributedJobs, Seen::What::kJob, "");
  add(kube::kFederatedRounds, Seen::What::kJob, "");
  add(kube::kPods, Seen::What::kPod, "app.kubernetes.io/managed-by=muster");
  if (options_.verbose) add(kube::kEvents, Seen::What::kEvent, "");
}

bool RunSession::wait(std::chrono::milliseconds timeout) {
  std::array<pollfd, 2> fds{{{signals_.fd(), POLLIN, 0}, {wake_fd_, POLLIN, 0}}};
  if (::poll(fds.data(), fds.size(), static_cast<int>(timeout.count())) <= 0) return false;
  std::uint64_t count = 0;
  if ((fds[1].revents & POLLIN) != 0 && ::read(wake_fd_, &count, sizeof count) < 0) count = 0;
  return (fds[0].revents & POLLIN) != 0 && signals_.wait(0ms).has_value();
}

void RunSession::take_in() {
  std::vector<Seen> seen;
  {
    const MutexLock lock(mutex_);
    seen.swap(seen_);
  }
  for (const Seen& one : seen) {
    switch (one.what) {
      case Seen::What::kJob: monitor_.on_job(*one.object, one.deleted, now()); break;
      case Seen::What::kPod:
        if (monitor_.on_pod(*one.object, now())) fetch_log(*one.object);
        break;
      case Seen::What::kEvent:
        if (!one.deleted) show(render_event(*one.object));
        break;
    }
  }
}

// At once: the operator removes the pods of an incarnation that failed.
void RunSession::fetch_log(const Json& pod) {
  const PodView view = view_pod(pod);
  kube::LogOptions options;
  options.container = view.container;
  options.tail_lines = kLogLines;
  std::string tail;
  const Status got =
      client_.logs(view.name_space, view.name, options, std::stop_token(), [&](std::string_view bytes) {
        tail += bytes;
        return tail.size() < 65536;  // 20 lines of a sane program are far below
      });
  if (!got && tail.empty()) tail = fmt::format("(the log cannot be read: {})", got.error().message);
  monitor_.on_pod_log(view, std::move(tail));
}

void RunSession::show(const std::string& line) {
  const MutexLock lock(mutex_);
  lines_.push_back(line);
}

void RunSession::draw() {
  std::vector<std::string> lines = monitor_.take_lines();
  {
    const MutexLock lock(mutex_);
    lines.insert(lines.end(), lines_.begin(), lines_.end());
    lines_.clear();
  }
  if (!console_.terminal()) {
    std::string out;
    for (const std::string& line : lines) out += line + "\n";
    console_.write(out);
    return;
  }
  std::vector<std::vector<std::string>> jobs;
  const Style style = console_.style();
  for (const Tracked& job : monitor_.jobs()) jobs.push_back(render_job(job, now(), style));
  console_.write(block_.update(lines, stack(jobs, style)));
}

RunSession::End RunSession::follow() {
  const Instant start = now();
  const auto tick = console_.terminal() ? kRedraw : 1000ms;
  start_watches();
  std::optional<Instant> done_at;
  Instant drawn_at{};
  for (;;) {
    const bool signal = wait(tick);
    take_in();
    const bool due = now() - drawn_at >= (console_.terminal() ? 100ms : 0ms);
    if (monitor_.done() && !done_at) done_at = now();
    const bool over = done_at && (monitor_.reports_complete() || now() - *done_at > kLastWords);
    if (due || over || signal) {
      draw();
      drawn_at = now();
    }
    if (signal) return End::kInterrupted;
    if (over) return End::kDone;
    if (options_.timeout && now() - start > *options_.timeout) return End::kTimeout;
  }
}

}  // namespace muster::cli
