// cli/convert/run_policy.cc: spec.runPolicy and its kin of Kubeflow's v1 kinds, and the metadata
#include "cli/convert/run_policy.h"

#include <fmt/format.h>

#include "common/json/access.h"

namespace muster::cli {
namespace {

constexpr std::size_t kNameMax = 50;
constexpr IntegerRange kSeconds{.min = 1, .max = 315'360'000};
constexpr const char* kServers =
    "Written by a server about the object that it was read from; no part of a manifest, left out.";
constexpr const char* kGang = "/spec/scheduling/gang";
constexpr const char* kQueueLabel = "kueue.x-k8s.io/queue-name";
constexpr const char* kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";

// As DistributedJob has names: they become names of pods and of a Service.
std::string fitting_name(std::string name) {
  name = as_label(name);
  if (!name.empty() && (name.front() < 'a' || name.front() > 'z')) name = "job-" + name;
  if (name.size() > kNameMax) name.resize(kNameMax);
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name;
}

void convert_name(Conversion& conversion) {
  const auto name = conversion.string("/metadata/name");
  conversion.move("/metadata/generateName", "/metadata/generateName");
  if (!name) {
    if (!conversion.has("/metadata/generateName")) conversion.fail("/metadata/name", "is missing; add it");
    return;
  }
  const std::string fitting = fitting_name(*name);
  conversion.out("/metadata/name") = fitting;
  if (fitting != *name)
    conversion.say_of("/metadata/name", *name, "/metadata/name",
                      fmt::format("Renamed: a DistributedJob's name begins with a letter and has at most {} "
                                  "lower-case letters, digits and dashes.",
                                  kNameMax));
}

void convert_scheduling_policy(Conversion& conversion) {
  const std::string from = "/spec/runPolicy/schedulingPolicy";
  conversion.must_be_object(from);
  if (!conversion.see(from).is_object()) return;
  ask_for_gang(conversion);
  conversion.drop(
      from + "/priorityClass", "/spec/workers",
      "Was the priority of the gang. Set workers.template.spec.priorityClassName for that of the pods.");
  conversion.drop(from + "/queue", "/metadata",
                  "With Kueue, label the job: kueue.x-k8s.io/queue-name. With Volcano, annotate the pods.");
  conversion.drop(from + "/scheduleTimeoutSeconds", "/spec/runPolicy",
                  "runPolicy.pendingDeadlineSeconds ends a job whose pods do not all come to run in time.");
  conversion.drop(from, kGang,
                  "All workers are needed to begin; gang says whose scheduler places them together.");
}

Json exit_code_rules() {
  Json permanent = Json::array();
  for (int code = 1; code <= 127; ++code) permanent.push_back(code);
  return {
      {"rules", Json::array({{{"action", "FailJob"},
                              {"onExitCodes", {{"operator", "In"}, {"values", std::move(permanent)}}}}})}};
}

}  // namespace

void ask_for_gang(Conversion& conversion) { conversion.out(kGang) = "Auto"; }

void convert_metadata(Conversion& conversion) {
  conversion.must_be_object("/metadata");
  convert_name(conversion);
  conversion.move("/metadata/namespace", "/metadata/namespace");
  conversion.drop_by_name(below("/metadata/annotations", kLastApplied), "/metadata",
                          "Holds the whole manifest that was applied, of the old kind; left out.");
  for (const char* map : {"/metadata/labels", "/metadata/annotations"}) {
    for (const auto& [key, value] : conversion.see(map).items())
      if (!value.is_string()) conversion.fail(below(map, key), "must be text; put it in double quotes");
    conversion.move_members(map, map);
  }
  for (const char* name : {"uid", "resourceVersion", "generation", "creationTimestamp", "selfLink",
                           "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds"})
    conversion.drop_by_name(below("/metadata", name), "/metadata", kServers);
  conversion.drop("/metadata/ownerReferences", "/metadata",
                  "The new object is not made by that owner; left out. Let the owner make DistributedJobs.");
  conversion.drop("/metadata/finalizers", "/metadata", "Of the old object's controllers; left out.");
  conversion.drop_by_name("/status", "", kServers);
}

std::string name_of_job(Conversion& conversion) {
  std::string name = text(conversion.see("/metadata/generateName"));
  if (conversion.has("/metadata/name")) name = text(conversion.out("/metadata/name"));
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name;
}

void convert_managed_by(Conversion& conversion, const std::string& from, const std::string& us) {
  const auto name = conversion.string(from);
  if (!name || name->empty()) return;
  if (*name == "kueue.x-k8s.io/multikueue") {
    conversion.out("/spec/managedBy") = *name;
  } else {
    conversion.say_of(from, *name, "/spec",
                      *name == us ? "Meant its own operator; absent, it means Muster's."
                                  : "Not a controller of DistributedJobs; left out, so that Muster runs it.");
  }
}

void convert_run_policy(Conversion& conversion, const std::string& us) {
  const std::string from = "/spec/runPolicy";
  const std::string to = "/spec/runPolicy";
  conversion.must_be_object(from);
  if (const auto clean = conversion.string(from + "/cleanPodPolicy"); clean && !clean->empty()) {
    conversion.out(to + "/cleanPodPolicy") = *clean;
    if (*clean != "None" && *clean != "Running" && *clean != "All")
      conversion.fail(from + "/cleanPodPolicy", fmt::format("must be None, Running or All, is {}", *clean));
  } else {
    conversion.out(to + "/cleanPodPolicy") = "None";
    conversion.say(to + "/cleanPodPolicy", "Kubeflow's default; Muster's own is Running.");
  }
  conversion.move_integer(from + "/ttlSecondsAfterFinished", to + "/ttlSecondsAfterFinished",
                          {.min = 0, .max = kSeconds.max});
  conversion.move_integer(from + "/activeDeadlineSeconds", to + "/activeDeadlineSeconds", kSeconds);
  conversion.move_integer(from + "/backoffLimit", to + "/maxRestarts", {.min = 0, .max = 1'000'000});
  convert_suspend(conversion, from + "/suspend");
  convert_managed_by(conversion, from + "/managedBy", us);
  convert_scheduling_policy(conversion);
}

void convert_suspend(Conversion& conversion, const std::string& from) {
  const auto suspend = conversion.boolean(from);
  if (!suspend) return;
  if (*suspend && conversion.see(below("/metadata/labels", kQueueLabel)).is_string()) {
    conversion.say_of(
        from, true, "/spec",
        "Left out: with its label the job waits in Kueue's queue; what is suspended is in none.");
  } else {
    conversion.out("/spec/suspend") = *suspend;
  }
}

void convert_restart_policy(Conversion& conversion, const std::string& from, const std::string& usual) {
  const std::string at = from + "/restartPolicy";
  const std::string restarts = "/spec/runPolicy/maxRestarts";
  const auto given = conversion.string(at);
  const std::string policy = given && !given->empty() ? *given : usual;
  if (policy == "Never") {
    if (conversion.has(restarts))
      conversion.say_of("/spec/runPolicy/backoffLimit", conversion.out(restarts), restarts,
                        "Had no effect beside restartPolicy Never.");
    conversion.out(restarts) = 0;
    if (given) conversion.say_of(at, policy, restarts, "No restart: the first failure ends the job.");
  } else if (policy == "ExitCode") {
    conversion.out("/spec/runPolicy/failurePolicy") = exit_code_rules();
    conversion.say_of(at, policy, "/spec/runPolicy/failurePolicy",
                      "Exit codes 1 to 127 end the job; all others, signals among them, restart it.");
  } else if (policy == "OnFailure" || policy == "Always") {
    std::string what = "A worker that fails restarts all of them, as one that is lost does";
    if (!conversion.has(restarts))
      what += "; 3 times at most unless maxRestarts says otherwise (Kubeflow: no limit)";
    if (policy == "Always") what += ". One that ends with exit code 0 is done, and is not started again";
    if (given) {
      conversion.say_of(at, policy, restarts, what + ".");
    } else {
      conversion.say(restarts, what + ".");
    }
  } else {
    conversion.fail(at, fmt::format("must be Always, OnFailure, Never or ExitCode, is {}", policy));
  }
}

}  // namespace muster::cli
