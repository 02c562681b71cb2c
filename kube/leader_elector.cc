// kube/leader_elector.cc: a LeaderElection's requests, performed; its fence, shared
#include "kube/leader_elector.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <tuple>
#include <utility>

namespace muster::kube {
namespace {

const Resource kLeases{"coordination.k8s.io", "v1", "leases", true, "Lease"};

constexpr std::chrono::seconds kStuckAfter{20};      // a request takes 4 s at most, a pause kRoundMax
constexpr std::chrono::seconds kEndingPatience{60};  // for the passes of a replica that no longer leads
constexpr std::chrono::seconds kRoundMax{5};

// Monotonic, and unlike std::steady_clock it goes on while the machine sleeps: others may lead meanwhile.
Instant now() {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return Instant(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

std::int64_t seconds_between(Instant from, Instant to) {
  return std::chrono::duration_cast<std::chrono::seconds>(to - from).count();
}

}  // namespace

LeaderElector::LeaderElector(Client& client, Options options)
    : client_(client),
      options_(std::move(options)),
      fence_(Instant::min().time_since_epoch().count()),
      election_(options_.election) {}

LeaderElector::~LeaderElector() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void LeaderElector::start() {
  {
    const MutexLock lock(mutex_);
    alive_at_ = now();
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Result<Deadline> LeaderElector::may_write() const {
  const Instant fence{Instant::duration(fence_.load(std::memory_order_acquire))};
  const Instant at = now();
  if (at >= fence)
    return Error{Code::kCancelled, fmt::format("this replica does not hold Lease {}/{}, so it writes nothing",
                                               options_.election.ns, options_.election.name)};
  const auto grace = options_.election.lease_duration - options_.election.renew_deadline;
  return std::chrono::steady_clock::now() + (fence - at) + grace;
}

LeaderElector::Standing LeaderElector::standing() const {
  const MutexLock lock(mutex_);
  return published_;
}

std::string LeaderElector::holder() const {
  const MutexLock lock(mutex_);
  return election_.holder();
}

std::string LeaderElector::told_by_holder(const std::string& annotation) const {
  const MutexLock lock(mutex_);
  return election_.told_by_holder(annotation);
}

bool LeaderElector::seen() const {
  const MutexLock lock(mutex_);
  return election_.seen();
}

Status LeaderElector::healthy() const {
  const Instant at = now();
  const MutexLock lock(mutex_);
  if (published_ == Standing::kResigned) return {};
  if (alive_at_ && at > *alive_at_ + kStuckAfter)
    return unavailable(
        fmt::format("the leader election has stood still for {} s", seconds_between(*alive_at_, at)));
  if (published_ == Standing::kDeposed && at > deposed_at_ + kEndingPatience)
    return unavailable(
        fmt::format("passes have not ended {} s after the Lease was lost", seconds_between(deposed_at_, at)));
  return {};
}

bool LeaderElector::publish() {
  fence_.store(election_.fence().time_since_epoch().count(), std::memory_order_release);
  if (published_ == election_.standing()) return false;
  published_ = election_.standing();
  if (published_ == Standing::kDeposed) deposed_at_ = now();
  return true;
}

void LeaderElector::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::optional<LeaderElection::Request> request;
    bool changed = false;
    {
      MutexLock lock(mutex_);
      const Instant at = now();
      alive_at_ = at;
      request = election_.next(at, std::chrono::system_clock::now());
      changed = publish();
      if (!request && !changed) {
        const auto pause = std::min<Instant::duration>(
            std::max<Instant::duration>(election_.wake() - at, Instant::duration::zero()), kRoundMax);
        wake_.wait_for(lock, stop, pause, [this]() MUSTER_REQUIRES(mutex_) {
          return election_.standing() != published_ || election_.wake() <= now();
        });
      }
    }
    if (changed && options_.on_change) options_.on_change();
    if (!request) continue;
    const Result<Json> answer = perform(*request);
    tell(*request, answer);
    {
      const MutexLock lock(mutex_);
      election_.answered(answer, now());
      changed = publish();
    }
    if (changed && options_.on_change) options_.on_change();
  }
}

Result<Json> LeaderElector::perform(const LeaderElection::Request& request) {
  using Verb = LeaderElection::Request::Verb;
  const auto& [ns, name] = std::tie(options_.election.ns, options_.election.name);
  switch (request.verb) {
    case Verb::kGet: return client_.get(kLeases, ns, name);
    case Verb::kCreate: return client_.create(kLeases, ns, request.lease);
    case Verb::kUpdate: return client_.replace(kLeases, ns, name, request.lease);
  }
  return internal_error("no verb");
}

void LeaderElector::tell(const LeaderElection::Request& request, const Result<Json>& answer) {
  if (answer) return told_.clear();
  const Code code = answer.error().code;
  const bool creates = request.verb == LeaderElection::Request::Verb::kCreate;
  if (code == Code::kAborted || code == Code::kAlreadyExists || (code == Code::kNotFound && !creates)) return;
  if (!options_.on_problem || !told_.insert(answer.error().message).second) return;
  std::string remedy;
  if (code == Code::kPermissionDenied) {
    remedy = fmt::format(
        "; leader election needs the rights to create leases.coordination.k8s.io in {}, and to "
        "get and update {}",
        options_.election.ns, options_.election.name);
  } else if (code == Code::kNotFound) {
    remedy = fmt::format("; create the namespace {}, or name another with --leader-elect-namespace",
                         options_.election.ns);
  }
  options_.on_problem(answer.error().message + remedy);
}

void LeaderElector::rejoin() {
  const MutexLock lock(mutex_);
  election_.rejoin(now());
  static_cast<void>(publish());
  wake_.notify_all();
}

void LeaderElector::resign() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  std::optional<LeaderElection::Request> release;
  {
    const MutexLock lock(mutex_);
    release = election_.resign(now(), std::chrono::system_clock::now());
    static_cast<void>(publish());
  }
  if (release) tell(*release, perform(*release));
}

}  // namespace muster::kube
