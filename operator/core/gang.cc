// operator/core/gang.cc: pods of a job that are placed together or not at all
#include "operator/core/gang.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/base/text.h"
#include "common/json/access.h"
#include "operator/core/failure_policy.h"
#include "operator/core/pod_plan.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

constexpr const char* kCondition = "GangScheduled";
constexpr const char* kPluginsLabel = "scheduling.x-k8s.io/pod-group";
constexpr const char* kVolcanoAnnotation = "scheduling.k8s.io/group-name";
constexpr const char* kMembers = "workers";  // of a Workload of Kubernetes 1.35: the name of its one group
constexpr const char* kFirstNative = "v1alpha1";  // a Workload with groups in it; later a PodGroup by itself
constexpr int kLooks = 4;                        // at what only an installation or a right changes: every 8 s
constexpr auto kLook = std::chrono::seconds(5);  // at a group that is on its way out; its watch is faster

struct Row {
  Gang gang;
  const char* name;
  ServedApi SchedulingSeen::*place;
  const char* group;   // of its API
  const char* remedy;  // where that is not served
};
constexpr std::array<Row, 3> kGangs{
    {{Gang::kNative, "Native", &SchedulingSeen::native, "scheduling.k8s.io",
      "use Kubernetes 1.37, or 1.35 and 1.36 with the feature gates GenericWorkload and GangScheduling and "
      "their API turned on"},
     {Gang::kSchedulerPlugins, "SchedulerPlugins", &SchedulingSeen::scheduler_plugins, "scheduling.x-k8s.io",
      "install scheduler-plugins (coscheduling)"},
     {Gang::kVolcano, "Volcano", &SchedulingSeen::volcano, "scheduling.volcano.sh", "install Volcano"}}};

const Row& row_of(Gang gang) {
  return *std::find_if(kGangs.begin(), kGangs.end(), [gang](const Row& row) { return row.gang == gang; });
}

const ServedApi& api_of(const SchedulingSeen& seen, Gang gang) { return seen.*place_of(gang); }

bool usable(const ServedApi& api) { return api.kind.has_value() && api.refusal.empty(); }

std::string scheduler_of(const Json& pod_template) {
  std::string named = named_scheduler(pod_template);
  return named.empty() ? "default-scheduler" : named;
}

// The author sees to a group by himself.
bool names_a_group(const Json& pod_template) {
  const Json& metadata = member(pod_template, "metadata");
  const Json& spec = member(pod_template, "spec");
  return !member(metadata, "labels", kPluginsLabel).is_null() ||
         !member(metadata, "annotations", kVolcanoAnnotation).is_null() ||
         !member(spec, "schedulingGroup").is_null() || !member(spec, "workloadRef").is_null();
}

Gang automatic(const GangWish& wish, const SchedulingSeen& seen) {
  if (names_a_group(wish.pod_template)) return Gang::kNone;
  const std::string scheduler = scheduler_of(wish.pod_template);
  if (scheduler == "volcano") return usable(seen.volcano) ? Gang::kVolcano : Gang::kNone;
  if (scheduler == "default-scheduler" && usable(seen.native)) return Gang::kNative;
  return usable(seen.scheduler_plugins) ? Gang::kSchedulerPlugins : Gang::kNone;
}

Json gang_policy(std::int64_t pods) { return {{"gang", {{"minCount", pods}}}}; }

Json group_spec(const Pass& pass, Gang gang, const ApiKind& api, const GangWish& wish) {
  const Json& priority = member(wish.pod_template, "spec", "priorityClassName");
  if (gang == Gang::kNative && api.version == kFirstNative)
    return {{"controllerRef", {{"apiGroup", "muster.dev"}, {"kind", pass.kind}, {"name", pass.meta.name}}},
            {"podGroups", Json::array({{{"name", kMembers}, {"policy", gang_policy(wish.pods)}}})}};
  Json spec = gang == Gang::kNative ? Json{{"schedulingPolicy", gang_policy(wish.pods)}}
                                    : Json{{"minMember", wish.pods}};
  const bool has_priority = gang == Gang::kVolcano || api.version == "v1beta1";
  if (has_priority && priority.is_string()) spec["priorityClassName"] = priority;
  if (gang == Gang::kVolcano) {
    const Json& queue =
        member(wish.pod_template, "metadata", "annotations", "scheduling.volcano.sh/queue-name");
    if (queue.is_string()) spec["queue"] = queue;
  }
  return spec;
}

CreateChild group_of(const Pass& pass, Gang gang, const GangWish& wish) {
  const ApiKind& api = *api_of(pass.seen.scheduling, gang).kind;
  return {.api = api,
          .manifest = {{"apiVersion", api.group + "/" + api.version},
                       {"kind", api.kind},
                       {"metadata", child_metadata(pass.meta, pass.kind, pass.meta.name)},
                       {"spec", group_spec(pass, gang, api, wish)}}};
}

// How many pods the scheduler waits for.
std::int64_t size_of(const Json& group) {
  const Json& spec = member(group, "spec");
  if (const Json& groups = member(spec, "podGroups"); groups.is_array() && !groups.empty())
    return integer(member(groups.front(), "policy", "gang", "minCount"));
  if (const Json& policy = member(spec, "schedulingPolicy"); policy.is_object())
    return integer(member(policy, "gang", "minCount"));
  return integer(member(spec, "minMember"));
}

bool leaves(const Json& object) { return !meta_text(object, "deletionTimestamp").empty(); }

// What its scheduler says of it: "Pending: 2/4 tasks in gang unschedulable".
std::string words_of(const Json& group) {
  std::string said = text(member(group, "status", "phase"));
  const Json& conditions = member(group, "status", "conditions");
  if (!conditions.is_array()) return printable(said);
  for (const Json& each : conditions) {
    const std::string type = text_at(each, "type");
    const std::string bad = type == "Unschedulable" ? "True" : "False";
    const bool tells =
        type == "Unschedulable" || type == "PodGroupScheduled" || type == "PodGroupInitiallyScheduled";
    if (tells && text_at(each, "status") == bad && !text_at(each, "message").empty())
      said += (said.empty() ? "" : ": ") + text_at(each, "message");
  }
  return printable(said);
}

Gang gang_of_pods(const Pass& pass) {
  for (const Pod& pod : pass.seen.pods)
    if (pod.incarnation == pass.after.incarnation && !pod.gang.empty()) return gang_named(pod.gang);
  return Gang::kNone;
}

void remove_group(Pass& pass, const ApiKind& api, const Json& group) {
  pass.again_at(pass.seen.now + kLook);
  if (!leaves(group))
    pass.act(DeleteChild{.api = api, .name = meta_text(group, "name"), .uid = meta_text(group, "uid")});
}

// Why Auto goes without, where that is worth a word: the group is served, and a right is lacking.
std::string refusal_of(const SchedulingSeen& seen) {
  for (const Row& row : kGangs)
    if (const ServedApi& api = api_of(seen, row.gang); !api.refusal.empty()) return api.refusal;
  return "";
}

void tell_no_gang(Pass& pass, const GangWish& wish) {
  constexpr const char* kSingly = "the pods are placed one by one";
  const std::string refusal = wish.choice == "Auto" ? refusal_of(pass.seen.scheduling) : "";
  if (!refusal.empty())
    pass.condition(kCondition, false, "NotPermitted", fmt::format("{}; {}", refusal, kSingly));
  else if (api::find_condition(pass.after.conditions, kCondition) != nullptr)
    pass.condition(kCondition, false, "NoGang", kSingly);
}

const char* reason_of(Code code) {
  if (code == Code::kInvalidArgument) return "SchedulersDiffer";
  return code == Code::kNotFound ? "NotServed" : "NotPermitted";
}

void cannot(Pass& pass, const Error& why) {
  pass.obstacle = Obstacle{.kind = Obstacle::Kind::kRefused, .message = why.message, .refusals = kLooks};
  pass.condition(kCondition, false, reason_of(why.code), why.message);
}

Status check_schedulers(Gang gang, const GangWish& wish) {
  if (gang == Gang::kNone || wish.server_template == nullptr) return {};
  const std::string servers = named_scheduler(*wish.server_template);
  std::string workers = named_scheduler(wish.pod_template);
  if (servers.empty() || servers == workers) return {};
  if (workers.empty()) workers = gang == Gang::kVolcano ? "volcano" : "default-scheduler";
  if (servers == workers) return {};
  return invalid_argument(fmt::format(
      "spec.synchronization.parameterServers.template.spec.schedulerName: is {}, and that of the workers is "
      "{}: one scheduler places all pods of a job as a group ({}); remove it, which takes the workers', or "
      "write scheduling.gang: None",
      printable(servers), printable(workers), name_of(gang)));
}

// A group that is in the way of the wanted one goes first.
bool is_in_place(Pass& pass, Gang gang, const GangWish& wish) {
  if (pass.after.gang.empty()) return true;
  if (pass.after.gang != name_of(gang)) {
    leave_gang(pass);
    return pass.after.gang.empty();
  }
  if (!pass.seen.scheduling.group.known) {
    pass.again_at(pass.seen.now + kLook);
    return false;
  }
  const auto& group = pass.seen.scheduling.group.object;
  if (group == nullptr || (!leaves(*group) && size_of(*group) == wish.pods)) return true;
  remove_group(pass, *api_of(pass.seen.scheduling, gang).kind, *group);
  return false;
}

}  // namespace

std::string named_scheduler(const Json& pod_template) {
  return text(member(pod_template, "spec", "schedulerName"));
}

const char* name_of(Gang gang) { return gang == Gang::kNone ? "None" : row_of(gang).name; }

Gang gang_named(const std::string& name) {
  for (const Row& row : kGangs)
    if (name == row.name) return row.gang;
  return Gang::kNone;
}

ServedApi SchedulingSeen::*place_of(Gang gang) { return row_of(gang).place; }

Result<Gang> choose_gang(const GangWish& wish, const SchedulingSeen& seen) {
  if (wish.choice == "None") return Gang::kNone;
  if (wish.choice == "Auto") return automatic(wish, seen);
  const Gang gang = gang_named(wish.choice);
  const ServedApi& api = api_of(seen, gang);
  if (usable(api)) return gang;
  const std::string wanted = "spec.scheduling.gang is " + wish.choice;
  if (api.kind)
    return Error{Code::kPermissionDenied,
                 fmt::format("{}: {}; grant it, or write Auto or None", wanted, api.refusal)};
  if (!seen.known) return Error{Code::kPermissionDenied, fmt::format("{}: {}", wanted, seen.problem)};
  return not_found(fmt::format("{}, and the API server serves no group of {}: {}, or write Auto or None",
                               wanted, row_of(gang).group, row_of(gang).remedy));
}

std::optional<Gang> prepare_gang(Pass& pass, const GangWish& wish, bool fresh) {
  const SchedulingSeen& seen = pass.seen.scheduling;
  Gang gang = gang_of_pods(pass);
  if (fresh) {
    const auto chosen = choose_gang(wish, seen);
    if (!chosen) {
      cannot(pass, chosen.error());
      return std::nullopt;
    }
    gang = *chosen;
    if (const Status one = check_schedulers(gang, wish); !one) {
      cannot(pass, one.error());
      return std::nullopt;
    }
  }
  if (gang == Gang::kNone) {
    if (fresh) leave_gang(pass);
    if (fresh) tell_no_gang(pass, wish);
    return gang;
  }
  if (fresh && !is_in_place(pass, gang, wish)) return std::nullopt;
  pass.after.gang = name_of(gang);
  const bool absent = fresh ? seen.group.object == nullptr : seen.group.known && seen.group.object == nullptr;
  if (absent && api_of(seen, gang).kind) pass.act(group_of(pass, gang, wish));
  return gang;
}

void join_gang(const Pass& pass, Gang gang, std::int64_t pods, Json& pod) {
  if (gang == Gang::kNone) return;
  const std::string& name = pass.meta.name;
  const bool counts_done = gang == Gang::kVolcano;
  if (!pass.after.succeeded_ranks.empty() && !counts_done) return;
  Json& metadata = pod["metadata"];
  const auto& group = pass.seen.scheduling.group.object;
  const bool is_larger = group != nullptr && size_of(*group) > pods;  // its scheduler would wait for ever
  if (!pass.before.roster.empty() || is_larger) {
    if (gang == Gang::kVolcano && named_scheduler(pod).empty()) pod["spec"]["schedulerName"] = "volcano";
    return;
  }
  metadata["annotations"][kGangAnnotation] = name_of(gang);
  switch (gang) {
    case Gang::kNone: break;
    case Gang::kNative:
      if (const auto& kind = pass.seen.scheduling.native.kind; kind && kind->version == kFirstNative)
        pod["spec"]["workloadRef"] = {{"name", name}, {"podGroup", kMembers}};
      else
        pod["spec"]["schedulingGroup"] = {{"podGroupName", name}};
      break;
    case Gang::kSchedulerPlugins: metadata["labels"][kPluginsLabel] = name; break;
    case Gang::kVolcano:
      metadata["annotations"][kVolcanoAnnotation] = name;
      if (named_scheduler(pod).empty()) pod["spec"]["schedulerName"] = "volcano";
      break;
  }
}

void tell_gang(Pass& pass, const std::vector<const Pod*>& pods, std::int64_t wanted) {
  if (pass.after.gang.empty() || pass.obstacle) return;
  const ServedApi& api = api_of(pass.seen.scheduling, gang_named(pass.after.gang));
  // A restarted operator, too, says nothing before it has read what the group says.
  if (!pass.seen.scheduling.group.known && api.refusal.empty()) return;
  const auto placed = std::count_if(pods.begin(), pods.end(), [](const Pod* pod) {
    return !pod->node.empty() && fate_of(*pod) != PodFate::kDisrupted;
  });
  const auto& group = pass.seen.scheduling.group.object;
  const std::string words = group == nullptr ? "" : words_of(*group);
  const std::string said = fmt::format("{} of {} pods have a node; group {} ({}){}{}", placed, wanted,
                                       pass.meta.name, pass.after.gang, words.empty() ? "" : ": ", words);
  if (placed < wanted)
    pass.condition(kCondition, false, "WaitingForScheduler", said);
  else
    pass.condition(kCondition, true, "Scheduled", said);
}

void leave_gang(Pass& pass) {
  if (pass.after.gang.empty()) return;
  const SeenChild& group = pass.seen.scheduling.group;
  const ServedApi& api = api_of(pass.seen.scheduling, gang_named(pass.after.gang));
  const bool out_of_reach = (pass.seen.scheduling.known && !api.kind) || !api.refusal.empty();
  if ((group.known && group.object == nullptr) || (!group.known && out_of_reach)) {
    pass.after.gang.clear();  // what is out of reach goes with the object: it is the owner
  } else if (!group.known) {
    pass.again_at(pass.seen.now + kLook);
  } else {
    remove_group(pass, *api.kind, *group.object);
  }
}

}  // namespace muster::op
