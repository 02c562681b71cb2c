// operator/shell/controller.cc: workers over the queue, snapshots, requeues
#include "operator/shell/controller.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>

#include "common/json/access.h"
#include "common/platform/process_metrics.h"
#include "kube/api_error.h"
#include "operator/core/credentials.h"
#include "operator/core/worker_failures.h"

namespace muster::op {
namespace {

constexpr std::chrono::milliseconds kProgressPause{100};
// A pass reads all pods of its object, and a pod changes four times until it is ready: with a pass a change,
// 1,000 pods would be read 4,000 times. So looking may take a 20th of the time.
constexpr std::chrono::milliseconds kGatherMin{20};
constexpr std::chrono::milliseconds kGatherMax{200};
constexpr int kGatherShare = 20;
// After a pass that failed, doubled each time: a server that is away, or refuses what only a person can
// allow, is not asked again for each message of a pod.
constexpr std::chrono::milliseconds kFailurePauseMin{1'000};
constexpr std::chrono::milliseconds kFailurePauseMax{60'000};
// While an Agent has not told of its assignment, or the cache was behind.
constexpr std::chrono::milliseconds kSoon{500};

std::chrono::milliseconds gather_after(std::chrono::nanoseconds looked) {
  return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(looked * kGatherShare), kGatherMin,
                    kGatherMax);
}

const char* result_name(Controller::Outcome outcome) {
  switch (outcome) {
    case Controller::Outcome::kDone: return "success";
    case Controller::Outcome::kRequeue: return "requeue";
    case Controller::Outcome::kRequeueAfter: return "requeue_after";
    case Controller::Outcome::kFailed: return "error";
  }
  return "error";
}

// A write that was not begun, since the Lease may be lost, has asked nobody.
bool is_answer(const Status& status) {
  return status || !(kube::is_away(status.error()) || status.error().code == Code::kCancelled);
}

WallTime wall_of(Instant when, WallTime now) {
  return now - std::chrono::duration_cast<WallTime::duration>(std::chrono::steady_clock::now() - when);
}

ServiceState service_state(const Json& service, const Subject& subject) {
  const auto owner = controller_of(service);
  if (owner && owner->uid == subject.uid) return ServiceState::kOurs;
  if (is_orphan(service, subject.resource.kind, subject.name))
    return ServiceState::kAbsent;  // it is replaced
  return leaves_soon(service, subject.resource.kind, subject.name) ? ServiceState::kPredecessors
                                                                   : ServiceState::kForeign;
}

}  // namespace

Controller::Controller(ControllerParts parts, Options options)
    : parts_(parts),
      options_(std::move(options)),
      queue_metrics_(parts.registry, options_.name),
      queue_(kube::WorkQueue::Options{.observer = &queue_metrics_}) {
  parts_.metrics.set_workers(options_.name, options_.workers);
}

Controller::~Controller() { stop(); }

void Controller::start() {
  for (int i = 0; i < options_.workers; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

void Controller::stop() {
  queue_.shut_down();
  threads_.clear();
}

void Controller::enqueue(const std::string& key) { queue_.add(key); }
void Controller::enqueue_gathered(const std::string& key) { queue_.add_gathered(key); }
void Controller::enqueue_soon(const std::string& key) {
  std::chrono::milliseconds pause = kProgressPause;
  {
    const MutexLock lock(mutex_);
    const auto failing = failing_.find(key);
    if (failing != failing_.end())
      pause = std::max(pause, std::chrono::ceil<std::chrono::milliseconds>(failing->second.until -
                                                                           std::chrono::steady_clock::now()));
  }
  queue_.add_after(key, pause);
}
void Controller::sample() { queue_metrics_.sample(queue_); }

void Controller::work(const std::stop_token& stop) {
  while (const auto key = queue_.take(stop)) {
    parts_.metrics.reconcile_started(options_.name);
    const auto began = std::chrono::steady_clock::now();
    const double cpu_began = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    Outcome outcome = Outcome::kFailed;
    std::chrono::nanoseconds looked{0};
    try {
      outcome = pass(*key, looked);
    } catch (const std::exception& error) {  // a bug, but one object's must not end the others' operator
      spdlog::error("pass failed kind={} object={} error=\"{}\"", options_.resource.kind, *key, error.what());
      queue_.add_rate_limited(*key);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    parts_.metrics.reconcile_ended(options_.name, result_name(outcome), took.count(),
                                   clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_began);
    queue_.done(*key, gather_after(looked));
  }
}

Observed Controller::observe(const Subject& subject, const std::vector<kube::Object>& pods) {
  const std::string key = subject.ns + "/" + subject.name;
  Observed seen;
  seen.now = std::chrono::system_clock::now();
  seen.defaults = options_.defaults;
  seen.keeps_history = options_.keeps_history;
  seen.ca = parts_.issuer.id();
  seen.bad_nodes = parts_.cache.bad_nodes();
  for (const kube::Object& object : pods) {
    auto pod = pod_from_json(*object, subject.uid);
    if (!pod) continue;
    judge_node(*pod, *object, seen.bad_nodes);
    if (auto status = parts_.agents.status(pod->uid)) seen.agents[pod->uid] = std::move(*status);
    if (const auto contact = parts_.agents.contact(pod->uid))
      seen.contacts[pod->uid] = {.answers = contact->answers, .since = wall_of(contact->since, seen.now)};
    if (auto why = parts_.agents.rejection(pod->uid)) seen.rejections[pod->uid] = std::move(*why);
    if (auto refusal = parts_.agents.refusal(pod->uid)) seen.refusals.emplace(pod->uid, std::move(*refusal));
    seen.pods.push_back(std::move(*pod));
  }
  if (const auto service = parts_.cache.get(kube::kServices, key)) {
    seen.service = service_state(*service, subject);
  }
  if (parts_.reports != nullptr) seen.report = parts_.reports->of(key, subject.uid);
  recall(subject, seen);
  for (const std::string& node : nodes_in_question(seen))
    if (parts_.nodes.lost(node)) seen.lost_nodes.insert(node);
  return seen;
}

void Controller::recall(const Subject& subject, Observed& seen) {
  const bool ended = std::ranges::any_of(seen.pods, [](const Pod& pod) { return pod.end.has_value(); });
  const std::string key = subject.ns + "/" + subject.name;
  const MutexLock lock(mutex_);
  if (!ended && !memory_.contains(key)) return;
  Memory& memory = memory_of(subject);
  std::map<std::string, WallTime> ends;
  for (Pod& pod : seen.pods) {
    if (!pod.end) continue;
    const auto known = memory.ends.find(pod.uid);
    pod.sighted = ends[pod.uid] = known == memory.ends.end() ? seen.now : known->second;
  }
  memory.ends = std::move(ends);
  seen.last_status_write = memory.last_status_write;
  seen.unkept = memory.unkept;
  seen.credentials = memory.credentials;
  seen.found_credentials = memory.found_credentials;
  if (std::chrono::steady_clock::now() < memory.obstacle_until &&
      memory.obstacle_generation == subject.generation)
    seen.obstacle = memory.obstacle;
}

Controller::Memory& Controller::memory_of(const Subject& subject) {
  Memory& memory = memory_[subject.ns + "/" + subject.name];
  if (memory.uid != subject.uid) {
    memory = Memory{};
    memory.uid = subject.uid;
  }
  return memory;
}

Status Controller::confirm_authority(const Observed& seen) const {
  if (!parts_.confirm_authority) return {};
  // Programs of users have no keys, and pods of the version before had none.
  const auto with_keys = [&](const auto& what) {
    return std::ranges::any_of(seen.pods, [&](const Pod& pod) { return !pod.ca.empty() && what(pod); });
  };
  if (with_keys([&](const Pod& pod) { return has_other_authority(seen, pod); }))
    return parts_.confirm_authority(AuthorityDoubt::kPodsOfAnother);
  if (with_keys([&](const Pod& pod) { return pod.ca == seen.ca && pod.deletion; }))
    return parts_.confirm_authority(AuthorityDoubt::kPodsLeave);
  return {};
}

Result<bool> Controller::look_again_at_disrupted(const Subject& subject, const Observed& seen) {
  std::set<std::string> now;
  std::vector<const Pod*> fresh;
  {
    const MutexLock lock(mutex_);
    const auto memory = memory_.find(subject.ns + "/" + subject.name);
    for (const Pod& pod : seen.pods) {
      if (!is_disrupted_by_its_node(pod)) continue;
      now.insert(pod.uid);
      if (memory == memory_.end() || !memory->second.on_bad_nodes.contains(pod.uid)) fresh.push_back(&pod);
    }
    if (memory != memory_.end())
      std::erase_if(memory->second.on_bad_nodes,
                    [&now](const std::string& uid) { return !now.contains(uid); });
  }
  // The watches of pods and of nodes may be late, each by itself.
  std::set<std::string> nodes;
  for (const Pod* pod : fresh) {
    MUSTER_TRY(parts_.cache.look_again(subject.ns, pod->name, pod->uid));
    nodes.insert(pod->node);
  }
  for (const std::string& node : nodes) parts_.cache.look_again_at_node(node);
  if (fresh.empty()) return false;
  const MutexLock lock(mutex_);
  memory_of(subject).on_bad_nodes = std::move(now);
  return true;
}

void Controller::remember(const Subject& subject, const ApplyResult& applied) {
  if (!applied.status_written && !applied.obstacle && applied.credentials.empty() &&
      applied.pods_created == 0)
    return;
  const MutexLock lock(mutex_);
  Memory& memory = memory_of(subject);
  for (const auto& [name, found] : applied.credentials) {
    if (!found) memory.found_credentials.erase(name);
    if (found && !memory.credentials.contains(name)) memory.found_credentials.insert(name);
    memory.credentials[name] = std::chrono::system_clock::now();
  }
  if (applied.status_written) {
    memory.last_status_write = std::chrono::system_clock::now();
    // Such a write may have changed nothing, so that no watch tells of it.
    if (!applied.unkept.empty() && memory.unkept.value_or("").empty())
      queue_.add(subject.ns + "/" + subject.name);
    // A write without the field says nothing of it.
    const std::string known = memory.unkept.value_or("");
    const std::string field = known.substr(0, known.find_first_of(".[", sizeof("status.") - 1));
    if (!applied.unkept.empty() || known.empty() || applied.status_fields.contains(field))
      memory.unkept = applied.unkept;
  }
  if (applied.pods_created > 0) memory.refusals = 0;
  if (!applied.obstacle) return;
  const bool again = memory.obstacle && memory.obstacle->kind == applied.obstacle->kind &&
                     memory.obstacle_generation == subject.generation;
  memory.refusals = again ? memory.refusals + 1 : 1;
  memory.obstacle = applied.obstacle;
  memory.obstacle->refusals = memory.refusals;
  memory.obstacle_generation = subject.generation;
  memory.obstacle_until = std::chrono::steady_clock::now() + patience_with(*memory.obstacle);
}

// Of an object that is gone; owner references take its children away. Only a pass forgets: one that was under
// way when the object went has dialled its pods, and this one comes after it.
void Controller::forget(const std::string& key) {
  queue_.forget(key);
  parts_.agents.follow(owner(key), {});
  if (parts_.reports != nullptr) parts_.reports->forget(key);
  const MutexLock lock(mutex_);
  memory_.erase(key);
  failing_.erase(key);
}

std::chrono::milliseconds Controller::retry(const std::string& key) {
  std::chrono::milliseconds pause{};
  {
    const MutexLock lock(mutex_);
    const Instant now = std::chrono::steady_clock::now();
    Failing& failing = failing_[key];
    if (now >= failing.until) {  // what news have hurried is no retry
      failing.pause = std::clamp(failing.pause * 2, kFailurePauseMin, kFailurePauseMax);
      failing.until = now + failing.pause;
    }
    pause = std::chrono::ceil<std::chrono::milliseconds>(failing.until - now);
  }
  queue_.add_after(key, pause);
  queue_metrics_.retried();
  return pause;
}

void Controller::recovered(const std::string& key) {
  queue_.forget(key);
  const MutexLock lock(mutex_);
  failing_.erase(key);
}

Controller::Outcome Controller::failed(const std::string& key, const Error& error) {
  if (error.code == Code::kNotFound) {  // deleted meanwhile; the watch will say so
    recovered(key);
    return Outcome::kDone;
  }
  if (error.code == Code::kAborted) {  // a stale snapshot is ordinary: the cache catches up
    queue_.add_rate_limited(key);
    return Outcome::kRequeue;
  }
  if (error.code == Code::kCancelled) {  // another may lead by now; this controller is about to end
    queue_.add_after(key, kSoon);
    return Outcome::kRequeue;
  }
  if (error.code == Code::kInvalidArgument || error.code == Code::kPermissionDenied) {
    const auto delay = retry(key);
    spdlog::error("the API server refuses a write kind={} object={} retry_ms={} error=\"{}\"",
                  options_.resource.kind, key, delay.count(), error.message);
    return Outcome::kFailed;
  }
  if (kube::is_away(error)) {
    const Instant now = std::chrono::steady_clock::now();
    if (outage_.failed(now))
      spdlog::warn("the API server is away: writes wait kind={} object={} error=\"{}\"",
                   options_.resource.kind, key, error.message);
    queue_.add_after(key, outage_.pause(now));
    return Outcome::kFailed;
  }
  const auto delay = retry(key);
  spdlog::warn("pass failed kind={} object={} retry_ms={} error=\"{}\"", options_.resource.kind, key,
               delay.count(), error.message);
  return Outcome::kFailed;
}

Controller::Outcome Controller::reconcile(const std::string& key) {
  std::chrono::nanoseconds looked{0};
  return pass(key, looked);
}

Controller::Outcome Controller::pass(const std::string& key, std::chrono::nanoseconds& looked) {
  const auto began = std::chrono::steady_clock::now();
  const kube::Object object = parts_.cache.get(options_.resource, key);
  if (object == nullptr) {
    forget(key);
    return Outcome::kDone;
  }
  const Subject subject{.resource = options_.resource,
                        .ns = meta_text(*object, "namespace"),
                        .name = meta_text(*object, "name"),
                        .uid = meta_text(*object, "uid"),
                        .generation = integer_at(member(*object, "metadata"), "generation")};
  Observed seen = observe(subject, parts_.cache.pods_of(subject.ns, subject.uid));
  const auto news = look_again_at_disrupted(subject, seen);
  if (!news) return failed(key, news.error());
  if (*news) seen = observe(subject, parts_.cache.pods_of(subject.ns, subject.uid));
  if (const Status ours = confirm_authority(seen); !ours) return failed(key, ours.error());
  if (parts_.scheduling != nullptr) {
    if (const Status asked = parts_.scheduling->look(*object, subject, seen); !asked)
      return failed(key, asked.error());
  }
  const auto decision = options_.decide(*object, std::move(seen));
  looked = std::chrono::steady_clock::now() - began;
  if (!decision) return failed(key, decision.error());

  parts_.agents.follow(owner(key), decision->agents);
  const bool writes = std::ranges::any_of(decision->actions, &Applier::waits_for_an_answer);
  if (writes) {
    if (const auto pause = outage_.wait(std::chrono::steady_clock::now()); pause.count() > 0) {
      queue_.add_after(key, pause);
      return Outcome::kRequeueAfter;
    }
  }
  ApplyResult applied;
  const Status done = parts_.applier.apply(subject, decision->actions, applied);
  remember(subject, applied);
  if (applied.refused && parts_.scheduling != nullptr)
    parts_.scheduling->refused(applied.refused->first, applied.refused->second);
  if (writes && is_answer(done) && outage_.answered())
    spdlog::info("the API server is back kind={}", options_.resource.kind);
  parts_.metrics.pods_created(options_.resource.kind, applied.pods_created);
  if (applied.obstacle) {  // core turns it into a condition, and lets no create out until it has expired
    const bool passes = applied.obstacle->kind == Obstacle::Kind::kPredecessor;
    spdlog::log(passes ? spdlog::level::info : spdlog::level::warn,
                "cannot create kind={} object={} error=\"{}\"", options_.resource.kind, key,
                applied.obstacle->message);
    queue_.add(key);
    return Outcome::kRequeue;
  }
  if (!done) return failed(key, done.error());
  recovered(key);
  auto after = decision->requeue_after;
  if (applied.look_soon && (after.count() == 0 || after > kSoon)) after = kSoon;
  if (after.count() == 0) return Outcome::kDone;
  queue_.add_after(key, after);
  return Outcome::kRequeueAfter;
}

}  // namespace muster::op
