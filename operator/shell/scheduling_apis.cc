// operator/shell/scheduling_apis.cc: discovery, and caches of groups of pods and Workloads
#include "operator/shell/scheduling_apis.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "common/json/access.h"
#include "common/spec/run_policy.h"
#include "kube/api_error.h"
#include "kube/discovery.h"
#include "operator/core/gang.h"
#include "operator/core/kueue.h"

namespace muster::op {
namespace {

constexpr std::chrono::seconds kAnswerFor{5};

struct Wanted {
  ServedApi SchedulingSeen::*where;
  const char* group;
  const char* version;
  const char* plural;
  const char* kind;
};
// The first that is served of each place. PriorityClasses are served in scheduling.k8s.io, too, once in
// v1beta1.
constexpr std::array<Wanted, 7> kWanted{{
    {&SchedulingSeen::native, "scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup"},   // 1.37
    {&SchedulingSeen::native, "scheduling.k8s.io", "v1alpha2", "podgroups", "PodGroup"},  // 1.36
    {&SchedulingSeen::native, "scheduling.k8s.io", "v1alpha1", "workloads", "Workload"},  // 1.35
    {&SchedulingSeen::scheduler_plugins, "scheduling.x-k8s.io", "v1alpha1", "podgroups", "PodGroup"},
    {&SchedulingSeen::volcano, "scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup"},
    {&SchedulingSeen::queue, "kueue.x-k8s.io", "v1beta2", "workloads", "Workload"},
    {&SchedulingSeen::queue, "kueue.x-k8s.io", "v1beta1", "workloads", "Workload"},
}};

std::string key_of(const ApiKind& api) { return api.plural + "." + api.group; }

bool is_refusal(const Error& error) {
  return error.code == Code::kPermissionDenied || error.code == Code::kNotFound;
}

// Nothing is to be known for an object that has ended and left no group, or needs none.
bool needs_groups(const Json& object, const Subject& subject, const Observed& seen) {
  if (!text(member(object, "status", "gang")).empty()) return true;
  if (std::ranges::any_of(seen.pods, [](const Pod& pod) { return !pod.gang.empty(); })) return true;
  const std::string phase = text(member(object, "status", "phase"));
  return subject.resource == kube::kDistributedJobs && seen.pods.empty() && phase != "Succeeded" &&
         phase != "Failed" && text(member(object, "spec", "scheduling", "gang"), "Auto") != "None";
}

}  // namespace

Status SchedulingApis::ask_all(SchedulingSeen& served) {
  MUSTER_ASSIGN(const auto groups, kube::served_groups(client_));
  for (const Wanted& wanted : kWanted) {
    ServedApi& api = served.*wanted.where;
    const auto group = groups.find(wanted.group);
    if (api.kind || group == groups.end() || !group->second.contains(wanted.version)) continue;
    MUSTER_ASSIGN(const auto plurals, kube::served_plurals(client_, wanted.group, wanted.version));
    if (!plurals.contains(wanted.plural)) continue;
    api.kind = ApiKind{wanted.group, wanted.version, wanted.plural, wanted.kind};
  }
  served.known = true;
  return {};
}

Status SchedulingApis::ask(bool may_be_old) {
  const Instant now = std::chrono::steady_clock::now();
  const bool asked = asked_ != Instant{};
  if (asked && (now < asked_ + kAnswerFor || (may_be_old && served_.known))) return {};
  SchedulingSeen served;
  if (Status done = ask_all(served); !done) {
    if (kube::is_away(done.error()) || done.error().code == Code::kCancelled) return done;
    served = {};
    served.problem = done.error().message;
    spdlog::warn("which schedulers' APIs are served is not known: error=\"{}\"", served.problem);
  }
  served_ = std::move(served);
  asked_ = now;
  return {};
}

void SchedulingApis::tell_refusal(ServedApi& api) {
  if (!api.kind) return;
  const auto refusal = refusals_.find(key_of(*api.kind));
  if (refusal == refusals_.end()) return;
  if (std::chrono::steady_clock::now() < refusal->second.until)
    api.refusal = refusal->second.why;
  else
    refusals_.erase(refusal);
}

void SchedulingApis::refused(const ApiKind& api, const Error& why) {
  const MutexLock lock(mutex_);
  if (why.code == Code::kNotFound) asked_ = Instant{};  // it was uninstalled, or only the namespace is gone
  refusals_[key_of(api)] = {.why = why.message, .until = std::chrono::steady_clock::now() + kAnswerFor};
}

Result<SeenChild> SchedulingApis::child(ServedApi& api, const Subject& subject, const std::string& name) {
  if (!api.kind || !api.refusal.empty()) return SeenChild{};
  const kube::Resource resource = resource_of(*api.kind);
  if (!cache_.follows(resource)) {
    if (const auto first = client_.list(resource, subject.ns, {.limit = 1}); !first) {
      if (!is_refusal(first.error())) return first.error();
      refused(*api.kind, first.error());
      api.refusal = first.error().message;
      return SeenChild{};
    }
    cache_.follow(resource);
  }
  if (!cache_.synced(resource)) return SeenChild{};
  kube::Object object = cache_.get(resource, subject.ns + "/" + name);
  if (object != nullptr) {
    const auto owner = controller_of(*object);
    if (!owner || owner->uid != subject.uid) object = nullptr;  // a create meets it, and says whose it is
  }
  return SeenChild{.known = true, .object = std::move(object)};
}

Result<Json> SchedulingApis::cluster_object(const kube::Resource& resource, const std::string& name,
                                            std::string& problem) {
  const std::string key = resource.plural + "/" + name;
  const Instant now = std::chrono::steady_clock::now();
  {
    const MutexLock lock(mutex_);
    std::erase_if(answers_, [now](const auto& entry) { return entry.second.until < now; });
    if (const auto known = answers_.find(key); known != answers_.end()) {
      problem = known->second.problem;
      return known->second.object;
    }
  }
  const auto got = client_.get(resource, "", name);
  if (!got && !is_refusal(got.error())) return got.error();
  if (!got) problem = got.error().message;
  const MutexLock lock(mutex_);
  answers_[key] = {.object = got ? *got : Json(), .problem = problem, .until = now + kAnswerFor};
  return got ? *got : Json();
}

Status SchedulingApis::look_at_queue(const Json& object, const Subject& subject, Observed& seen) {
  SchedulingSeen& scheduling = seen.scheduling;
  MUSTER_ASSIGN(scheduling.workload, child(scheduling.queue, subject,
                                           workload_name(subject.resource.kind, subject.name, subject.uid)));
  const QueueQuestions questions = questions_of(object, scheduling, seen.pods.size());
  if (questions.priority_class) {
    const auto& [group, name] = *questions.priority_class;
    const bool kueues = group == scheduling.queue.kind->group;
    const kube::Resource resource =
        kueues ? kube::Resource{group, scheduling.queue.kind->version, "workloadpriorityclasses", false,
                                "WorkloadPriorityClass"}
               : kube::Resource{group, "v1", "priorityclasses", false, "PriorityClass"};
    scheduling.priority = {.group = group, .name = name};
    MUSTER_ASSIGN(const Json found, cluster_object(resource, name, scheduling.priority.problem));
    if (const Json& value = member(found, "value"); value.is_number_integer())
      scheduling.priority.value = value.get<std::int64_t>();
  }
  for (const std::string& name : questions.flavors) {
    const kube::Resource flavors{scheduling.queue.kind->group, scheduling.queue.kind->version,
                                 "resourceflavors", false, "ResourceFlavor"};
    MUSTER_ASSIGN(scheduling.flavors[name], cluster_object(flavors, name, scheduling.flavor_problem));
  }
  return {};
}

Status SchedulingApis::look(const Json& object, const Subject& subject, Observed& seen) {
  if (spec::managed_elsewhere(member(object, "spec"))) return {};
  const bool queue = needs_queue(object);
  if (!queue && !needs_groups(object, subject, seen)) return {};
  {
    const MutexLock lock(mutex_);
    MUSTER_TRY(ask(!seen.pods.empty()));
    seen.scheduling = served_;
    for (ServedApi* api : {&seen.scheduling.native, &seen.scheduling.scheduler_plugins,
                           &seen.scheduling.volcano, &seen.scheduling.queue})
      tell_refusal(*api);
  }
  if (queue) MUSTER_TRY(look_at_queue(object, subject, seen));
  const Gang gang = gang_named(text(member(object, "status", "gang")));
  if (gang == Gang::kNone) return {};
  MUSTER_ASSIGN(seen.scheduling.group, child(seen.scheduling.*place_of(gang), subject, subject.name));
  return {};
}

}  // namespace muster::op
