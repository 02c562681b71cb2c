// operator/control/agent_client.cc: all calls on one completion queue
#include "operator/control/agent_client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <deque>
#include <iterator>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/platform/mutex.h"
#include "operator/control/agent_calls.h"
#include "operator/control/agent_news.h"
#include "operator/control/agent_probe.h"
#include "operator/control/followed_pod.h"
#include "operator/core/agent_status.h"
#include "operator/core/assignment.h"

namespace muster::op {

using control::v1::AgentStatus;

namespace {

constexpr std::size_t kConnectingMax = 64;  // handshakes under way
constexpr std::chrono::milliseconds kConnectLook{50};
constexpr int kRejectionsMin =
    2;  // in a row: a pod that dies in the middle of a handshake looks the same, once

// Whether a stream has ended for what the pod says, and not because it comes, goes or takes another
// membership.
bool is_unusable(Code code) {
  return code == Code::kResourceExhausted || code == Code::kInternal || code == Code::kPermissionDenied ||
         code == Code::kUnimplemented;
}

}  // namespace

class AgentClient::Impl {
 public:
  explicit Impl(Options options)
      : options_(std::move(options)), credentials_(options_.credentials.for_channel()) {
    for (int i = 0; i < options_.threads; ++i) {
      threads_.emplace_back([this] { serve(); });
    }
    const MutexLock lock(mutex_);
    ++live_;
    sweep_alarm_.Set(&queue_, std::chrono::system_clock::now() + options_.probe_interval, &sweep_);
  }
  ~Impl() {
    std::map<std::string, FollowedPod> pods;
    {
      const MutexLock lock(mutex_);
      pods = std::exchange(pods_, {});
      stopping_ = true;
      sweep_alarm_.Cancel();
      if (looking_) look_alarm_.Cancel();
    }
    for (auto& [uid, pod] : pods) end(pod);
    {
      MutexLock lock(mutex_);  // nothing may enter the queue after Shutdown
      while (live_ > 0) last_left_.wait(lock);
    }
    queue_.Shutdown();
    threads_.clear();
  }

  void follow(const std::string& owner, const std::vector<AgentAddress>& wanted) MUSTER_EXCLUDES(mutex_) {
    std::vector<FollowedPod> leaving;
    std::vector<std::shared_ptr<Follower>> coming;
    std::vector<std::pair<std::shared_ptr<Follower>, std::int64_t>> expecting;
    {
      const MutexLock lock(mutex_);
      std::set<std::string> now;
      for (const AgentAddress& pod : wanted) now.insert(pod.uid);
      auto& before = owners_[owner];
      for (const std::string& uid : before) {
        if (now.contains(uid)) continue;
        leaving.push_back(std::move(pods_.extract(uid).mapped()));
      }
      for (const AgentAddress& pod : wanted) {
        const auto [added, fresh] = pods_.try_emplace(pod.uid, retry_backoff(pod.uid));
        FollowedPod& state = added->second;
        if (!fresh) {
          expecting.emplace_back(state.follower, pod.membership);
          continue;
        }
        state.owner = owner;
        state.channel = dial(pod, options_.port, credentials_);
        state.follower = make_follower(pod, state.channel);
        waiting_.push_back(pod.uid);
      }
      before = std::move(now);
      if (before.empty()) owners_.erase(owner);
      coming = admit();
    }
    for (FollowedPod& pod : leaving) end(pod);
    for (const auto& [follower, membership] : expecting) follower->expect(membership);
    for (const auto& follower : coming) follower->start();
  }

  std::optional<AgentStatus> status(const std::string& uid) const MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto found = pods_.find(uid);
    return found == pods_.end() ? std::nullopt : found->second.status;
  }

  std::optional<Contact> contact(const std::string& uid) const MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto found = pods_.find(uid);
    if (found == pods_.end() || found->second.dialled == Instant{}) return std::nullopt;
    return Contact{.answers = found->second.answers, .since = found->second.since};
  }

  std::optional<std::string> rejection(const std::string& uid) const MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto found = pods_.find(uid);
    if (found == pods_.end() || found->second.rejections < kRejectionsMin) return std::nullopt;
    return found->second.rejection;
  }

  void configure(const ConfigurePod& pod) MUSTER_EXCLUDES(mutex_) {
    std::shared_ptr<ConfigureCall> call;
    {
      const MutexLock lock(mutex_);
      const auto found = pods_.find(pod.uid);
      if (found == pods_.end()) return;
      FollowedPod& state = found->second;
      std::string with = orders_of(pod);
      const bool same = state.configured_with == with;
      if (state.configuring || (same && std::chrono::steady_clock::now() < state.configure_after)) return;
      state.configured_with = std::move(with);
      call = std::make_shared<ConfigureCall>(ConfigureCall::Options{
          .channel = state.channel,
          .queue = &queue_,
          .timeout = options_.configure_timeout,
          .over = [this, name = pod.pod, uid = pod.uid](const ConfigureCall& over, const Status& outcome) {
            configured(name, uid, over, outcome);
            left();
          }});
      state.configuring = call;
      ++live_;
    }
    call->start(message_of(pod));
  }

  std::optional<Error> refusal(const std::string& uid) const MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto found = pods_.find(uid);
    return found == pods_.end() ? std::nullopt : found->second.refusal;
  }

 private:
  [[nodiscard]] control::v1::Assignment message_of(const ConfigurePod& pod) const {
    control::v1::Assignment message = assignment_of(pod);
    message.set_pod_uid(pod.uid);
    if (!options_.membership_key) return message;
    // Without its key, which OpenSSL alone can fail to derive, the pod refuses what needs one, in words.
    const auto key = options_.membership_key(message.uid(), message.membership());
    if (key) message.set_membership_key(*key);
    return message;
  }
  static void end(FollowedPod& pod) {
    pod.follower->stop();
    if (pod.probe) pod.probe->cancel();
    if (pod.configuring) pod.configuring->cancel();
  }
  // Those whose turn it is to connect: all handshakes of a takeover at once would be late together.
  [[nodiscard]] std::vector<std::shared_ptr<Follower>> admit() MUSTER_REQUIRES(mutex_) {
    std::vector<std::shared_ptr<Follower>> admitted;
    if (stopping_) return admitted;
    while (!waiting_.empty() && connecting_.size() < kConnectingMax) {
      const std::string uid = std::move(waiting_.front());
      waiting_.pop_front();
      const auto found = pods_.find(uid);
      if (found == pods_.end() || found->second.dialled != Instant{}) continue;
      found->second.dialled = found->second.since = std::chrono::steady_clock::now();
      connecting_.insert(uid);
      admitted.push_back(found->second.follower);
      ++live_;
    }
    if (!waiting_.empty() && !std::exchange(looking_, true)) {
      ++live_;
      look_alarm_.Set(&queue_, std::chrono::system_clock::now() + kConnectLook, &look_);
    }
    return admitted;
  }
  // Whether the first connection of a pod has come about, or has failed: that frees its turn.
  [[nodiscard]] bool connected(const std::string& uid, Instant now) const MUSTER_REQUIRES(mutex_) {
    const auto found = pods_.find(uid);
    if (found == pods_.end()) return true;
    const auto state = found->second.channel->GetState(false);
    return state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
           now >= found->second.dialled + std::chrono::milliseconds(kConnectTimeoutMs);
  }
  void look() MUSTER_EXCLUDES(mutex_) {
    std::vector<std::shared_ptr<Follower>> coming;
    {
      const MutexLock lock(mutex_);
      looking_ = false;
      const Instant now = std::chrono::steady_clock::now();
      for (auto each = connecting_.begin(); each != connecting_.end();)
        each = connected(*each, now) ? connecting_.erase(each) : std::next(each);
      coming = admit();
    }
    for (const auto& follower : coming) follower->start();
    left();
  }
  // Asks why those pods that have told nothing yet are silent.
  void sweep() MUSTER_EXCLUDES(mutex_) {
    std::vector<std::shared_ptr<Probe>> probes;
    bool over = false;
    {
      const MutexLock lock(mutex_);
      over = stopping_;
      if (!over) {
        const Instant now = std::chrono::steady_clock::now();
        for (auto& [uid, pod] : pods_) {
          if (pod.status || pod.probe || pod.dialled == Instant{} ||
              now < pod.dialled + options_.probe_interval)
            continue;
          pod.probe = std::make_shared<Probe>(
              Probe::Options{.channel = pod.channel,
                             .queue = &queue_,
                             .over = [this, uid = uid](const std::optional<std::string>& rejection) {
                               probed(uid, rejection);
                               left();
                             }});
          probes.push_back(pod.probe);
          ++live_;
        }
        sweep_alarm_.Set(&queue_, std::chrono::system_clock::now() + options_.probe_interval, &sweep_);
      }
    }
    for (const auto& probe : probes) probe->start();
    if (over) left();
  }
  void probed(const std::string& uid, const std::optional<std::string>& rejection) MUSTER_EXCLUDES(mutex_) {
    std::string owner;
    {
      const MutexLock lock(mutex_);
      const auto found = pods_.find(uid);
      if (found == pods_.end()) return;
      FollowedPod& pod = found->second;
      pod.probe.reset();
      const bool was = pod.rejections >= kRejectionsMin;
      pod.rejections = rejection && !pod.status ? pod.rejections + 1 : 0;
      pod.rejection = rejection.value_or("");
      if (was == (pod.rejections >= kRejectionsMin)) return;
      owner = pod.owner;
    }
    if (options_.on_change) options_.on_change(owner, false);
  }
  [[nodiscard]] Backoff retry_backoff(const std::string& uid) const {
    return {{.first = options_.retry_first, .max = options_.retry_max, .factor = 2, .jitter = 0.5},
            std::hash<std::string>{}(uid)};
  }
  std::shared_ptr<Follower> make_follower(const AgentAddress& pod,
                                          const std::shared_ptr<grpc::Channel>& channel) {
    return std::make_shared<Follower>(Follower::Options{
        .channel = channel,
        .queue = &queue_,
        .pod_uid = pod.uid,
        .membership = pod.membership,
        .backoff = retry_backoff(pod.uid),
        .told = [this, uid = pod.uid](const AgentStatus& status) { told(uid, status); },
        .ended = [this, name = pod.pod, uid = pod.uid](const Status& how) { watch_ended(name, uid, how); },
        .left = [this] { left(); }});
  }
  void left() MUSTER_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    --live_;
    last_left_.notify_all();
  }
  void told(const std::string& uid, const AgentStatus& said) MUSTER_EXCLUDES(mutex_) {
    AgentStatus status = checked(said);
    std::string owner;
    bool news = false;
    std::vector<std::shared_ptr<Follower>> coming;
    {
      const MutexLock lock(mutex_);
      if (connecting_.erase(uid) > 0) coming = admit();
      const auto found = pods_.find(uid);
      if (found != pods_.end()) {
        owner = found->second.owner;
        news = is_news(found->second.status, status) || !found->second.answers;
        if (news) found->second.since = std::chrono::steady_clock::now();
        found->second.answers = true;
        found->second.status = std::move(status);
        found->second.rejections = 0;
      }
    }
    for (const auto& follower : coming) follower->start();
    if (!owner.empty() && options_.on_change) options_.on_change(owner, !news);
  }
  void watch_ended(const std::string& name, const std::string& uid, const Status& how)
      MUSTER_EXCLUDES(mutex_) {
    const bool unusable = !how && is_unusable(how.error().code);
    std::string owner;
    bool lost = false;
    bool tells = false;
    {
      const MutexLock lock(mutex_);
      const auto found = pods_.find(uid);
      if (found == pods_.end()) return;
      FollowedPod& pod = found->second;
      owner = pod.owner;
      lost = std::exchange(pod.answers, false);
      if (lost) pod.since = std::chrono::steady_clock::now();
      tells = unusable && pod.unusable != how.error().message;
      if (tells) pod.unusable = how.error().message;
    }
    if (lost && options_.on_change) options_.on_change(owner, false);
    if (tells && options_.on_unusable) options_.on_unusable(owner, name, how.error());
  }
  void configured(const std::string& name, const std::string& uid, const ConfigureCall& over,
                  const Status& outcome) MUSTER_EXCLUDES(mutex_) {
    std::string owner;
    {
      const MutexLock lock(mutex_);
      const auto found = pods_.find(uid);
      if (found == pods_.end() || found->second.configuring.get() != &over) return;
      FollowedPod& state = found->second;
      owner = state.owner;
      state.configuring.reset();
      state.refusal = outcome ? std::nullopt : std::optional(outcome.error());
      if (outcome) state.configure_backoff.reset();
      // After an OK, too: until the pod's status tells of it, the passes go on asking.
      state.configure_after = std::chrono::steady_clock::now() + state.configure_backoff.next();
    }
    if (outcome) return;
    if (options_.on_refusal) options_.on_refusal(owner, name, outcome.error());
    if (options_.on_change) options_.on_change(owner, false);
  }
  void serve() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) static_cast<Operation*>(tag)->complete(ok);
  }

  class Call final : public Operation {  // of an alarm
   public:
    Call(Impl& impl, void (Impl::*what)()) : impl_(impl), what_(what) {}
    void complete(bool /*ok*/) override { (impl_.*what_)(); }

   private:
    Impl& impl_;
    void (Impl::*what_)();
  };

  const Options options_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  mutable Mutex mutex_;
  Condition last_left_;
  int live_ MUSTER_GUARDED_BY(mutex_) = 0;  // calls that are in the queue, or about to be
  std::map<std::string, FollowedPod> pods_ MUSTER_GUARDED_BY(mutex_);
  std::map<std::string, std::set<std::string>> owners_ MUSTER_GUARDED_BY(mutex_);
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  std::deque<std::string> waiting_ MUSTER_GUARDED_BY(mutex_);   // uids of pods that are to be connected to
  std::set<std::string> connecting_ MUSTER_GUARDED_BY(mutex_);  // uids of those whose turn it is
  bool looking_ MUSTER_GUARDED_BY(mutex_) = false;
  grpc::CompletionQueue queue_;
  Call sweep_{*this, &Impl::sweep};
  Call look_{*this, &Impl::look};
  grpc::Alarm sweep_alarm_ MUSTER_GUARDED_BY(mutex_);
  grpc::Alarm look_alarm_ MUSTER_GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;
};

AgentClient::AgentClient(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
AgentClient::~AgentClient() = default;

void AgentClient::follow(const std::string& owner, const std::vector<AgentAddress>& pods) {
  impl_->follow(owner, pods);
}
std::optional<AgentStatus> AgentClient::status(const std::string& pod_uid) const {
  return impl_->status(pod_uid);
}
void AgentClient::configure(const ConfigurePod& pod) { impl_->configure(pod); }
std::optional<Agents::Contact> AgentClient::contact(const std::string& uid) const {
  return impl_->contact(uid);
}

std::optional<std::string> AgentClient::rejection(const std::string& pod_uid) const {
  return impl_->rejection(pod_uid);
}
std::optional<Error> AgentClient::refusal(const std::string& pod_uid) const {
  return impl_->refusal(pod_uid);
}

}  // namespace muster::op
