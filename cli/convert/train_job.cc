// cli/convert/train_job.cc: TrainJob, trainer.kubeflow.org/v1alpha1
#include <fmt/format.h>

#include <algorithm>

#include "cli/convert/kinds.h"
#include "cli/convert/pod_template.h"
#include "cli/convert/run_policy.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

constexpr const char* kTrainer = "/spec/trainer";
constexpr const char* kNode = "node";  // the job of the runtime, and its container, that trains
constexpr const char* kAncestor = "trainer.kubeflow.org/trainjob-ancestor-step";
constexpr const char* kJobs = "/runtime/spec/template/spec/replicatedJobs";

struct Node {
  std::string from;      // the template's place in the source; "" without a runtime
  std::size_t role = 0;  // index of the container that trains
};

Node take_runtime_template(Conversion& conversion) {
  conversion.must_be_array(kJobs);
  const Json& jobs = conversion.see(kJobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const std::string job = below(kJobs, i);
    const std::string step = below(job + "/template/metadata/labels", kAncestor);
    const bool labelled = text(conversion.see(step)) == "trainer";
    const bool named = text(conversion.see(job + "/name")) == kNode;
    if (!labelled && !named) continue;
    if (named) (void)conversion.take(job + "/name");
    if (labelled) (void)conversion.take(step);
    const std::string from = job + "/template/spec/template";
    take_template(conversion, from);
    if (!conversion.has(kContainers)) return {};
    return {from, container_named(conversion, kNode)};
  }
  conversion.fail(kJobs, fmt::format("has no job named {}, so that it is not known which one trains", kNode));
  return {};
}

void convert_runtime(Conversion& conversion) {
  conversion.say("", fmt::format("The template of {} {} of the same input is that of the workers.",
                                 text(conversion.take("/runtime/kind")),
                                 text(conversion.see("/runtime/metadata/name"))));
  for (const char* told : {"/runtime/apiVersion", "/runtime/metadata", "/runtime/status"})
    (void)conversion.take(told);
  conversion.move_integer("/runtime/spec/mlPolicy/numNodes", "/spec/workers/replicas",
                          {.min = 0, .max = 1000});
  conversion.move_integer("/runtime/spec/template/spec/failurePolicy/maxRestarts",
                          "/spec/runPolicy/maxRestarts", {.min = 0, .max = 1'000'000});
  conversion.drop(
      "/runtime/spec/mlPolicy/torch", "/spec/workers",
      "Muster gives every program the variables of torchrun; workers.processesPerNode says how many "
      "processes a pod has, else one for each GPU.");
  if (conversion.see("/runtime/spec/podGroupPolicy").is_object()) ask_for_gang(conversion);
  conversion.drop("/runtime/spec/podGroupPolicy", "/spec/scheduling",
                  "The gang is made by whoever can: see scheduling.gang.");
}

// The one that is given last counts, as in the pods that the runtime makes.
void set_variable(Conversion& conversion, Json& container, const Json& variable) {
  Json& env = container["env"];
  if (!env.is_array()) env = Json::array();
  for (Json& known : env) {
    if (text_at(known, "name") != text_at(variable, "name")) continue;
    if (known != variable)
      conversion.say(kContainers, fmt::format("Was replaced by a later one of its name: {}",
                                              known.dump(-1, ' ', false, Json::error_handler_t::replace)));
    known = variable;
    return;
  }
  env.push_back(variable);
}

void convert_processes(Conversion& conversion) {
  const std::string from = std::string(kTrainer) + "/numProcPerNode";
  if (const Json& value = conversion.see(from); value.is_string()) {  // releases before 2.1: auto, cpu, gpu
    conversion.drop(
        from, "/spec/workers",
        "Without workers.processesPerNode it is one process for each GPU in the container's limits, "
        "else one; set it to another number.");
  } else {
    conversion.move_integer(from, "/spec/workers/processesPerNode", {.min = 1, .max = 1024});
  }
}

void convert_trainer(Conversion& conversion, const Node& node) {
  const std::string from = kTrainer;
  conversion.must_be_object(from);
  const std::string to = below(kContainers, node.role);
  for (const char* list : {"/command", "/args", "/env"}) conversion.must_be_array(from + list);
  conversion.must_be_object(from + "/resourcesPerNode");
  conversion.move(from + "/image", to + "/image");
  conversion.move(from + "/command", to + "/command");
  conversion.move(from + "/args", to + "/args");
  conversion.move(from + "/resourcesPerNode", to + "/resources");
  for (const Json& variable : conversion.take(from + "/env"))
    set_variable(conversion, conversion.out(to), variable);
  conversion.move_integer(from + "/numNodes", "/spec/workers/replicas", {.min = 0, .max = 1000});
  convert_processes(conversion);
}

void merge_list(Json& into, const Json& list, const char* key) {
  if (!list.is_array()) return;
  if (!into.is_array()) into = Json::array();
  for (const Json& item : list) {
    const auto same = std::find_if(into.begin(), into.end(), [&](const Json& known) {
      return !text_at(item, key).empty() && text_at(known, key) == text_at(item, key);
    });
    if (same == into.end()) {
      into.push_back(item);
    } else {
      *same = item;
    }
  }
}

// Containers of the patch change those of their name.
void patch_containers(Conversion& conversion, const std::string& from, const char* list) {
  const Json& patches = conversion.see(from);
  Json& known = conversion.out(std::string(kTemplate) + "/spec/" + list);
  for (std::size_t i = 0; i < patches.size(); ++i) {
    const std::string at = below(from, i);
    const auto found = std::find_if(known.begin(), known.end(), [&](const Json& container) {
      return text_at(container, "name") == text_at(patches[i], "name");
    });
    if (found == known.end()) {
      conversion.drop(at, kTemplate, "Without the runtime there is no such container to change; add it.");
      continue;
    }
    (void)conversion.take(at + "/name");
    for (const Json& variable : conversion.take(at + "/env")) set_variable(conversion, *found, variable);
    if (const Json mounts = conversion.take(at + "/volumeMounts"); mounts.is_array())
      merge_list((*found)["volumeMounts"], mounts, "mountPath");
    if (const Json security = conversion.take(at + "/securityContext"); !security.is_null())
      (*found)["securityContext"] = security;
  }
  if (known.is_null()) conversion.out(std::string(kTemplate) + "/spec").erase(list);
}

// A PodTemplatePatch onto the workers' template.
void patch_template(Conversion& conversion, const std::string& from) {
  conversion.must_be_object(from);
  for (const char* map : {"/metadata/labels", "/metadata/annotations", "/spec/nodeSelector"})
    conversion.move_members(from + map, kTemplate + std::string(map));
  for (const char* list : {"/spec/volumes", "/spec/imagePullSecrets", "/spec/schedulingGates"})
    if (const Json items = conversion.take(from + list); items.is_array())
      merge_list(conversion.out(kTemplate + std::string(list)), items, "name");
  if (const Json items = conversion.take(from + "/spec/tolerations"); items.is_array())
    for (const Json& item : items)
      conversion.out(std::string(kTemplate) + "/spec/tolerations").push_back(item);
  for (const char* list : {"containers", "initContainers"})
    if (const std::string at = from + "/spec/" + list; conversion.see(at).is_array())
      patch_containers(conversion, at, list);
  for (const char* field : {"/spec/serviceAccountName", "/spec/affinity", "/spec/securityContext",
                            "/spec/terminationGracePeriodSeconds"})
    conversion.move(from + field, kTemplate + std::string(field));
}

void convert_runtime_patches(Conversion& conversion) {
  const std::string from = "/spec/runtimePatches";
  conversion.must_be_array(from);
  for (std::size_t i = 0; i < conversion.see(from).size(); ++i) {
    const std::string at = below(from, i);
    for (const char* who : {"/manager", "/time"})
      conversion.drop(at + who, kTemplate, "Told who had added the patch, which is in the template now.");
    const std::string jobs = at + "/trainingRuntimeSpec/template/spec/replicatedJobs";
    conversion.must_be_array(jobs);
    for (std::size_t j = 0; j < conversion.see(jobs).size(); ++j) {
      const std::string job = below(jobs, j);
      if (text(conversion.see(job + "/name")) != kNode) continue;
      (void)conversion.take(job + "/name");
      patch_template(conversion, job + "/template/spec/template");
    }
    conversion.drop(
        at, kTemplate,
        "Of a JobSet, a Job or a step other than node, which DistributedJob has not. What is for the "
        "pods goes into workers.template, what is for the job into metadata.");
  }
}

// Before 2.2.
void convert_overrides(Conversion& conversion) {
  const std::string from = "/spec/podTemplateOverrides";
  conversion.must_be_array(from);
  for (std::size_t i = 0; i < conversion.see(from).size(); ++i) {
    const std::string at = below(from, i);
    const Json& targets = conversion.see(at + "/targetJobs");
    const bool ours = std::any_of(targets.begin(), targets.end(),
                                  [](const Json& target) { return text_at(target, "name") == kNode; });
    if (ours) patch_template(conversion, at);
    for (std::size_t j = 0; j < targets.size(); ++j)
      if (text_at(targets[j], "name") == kNode) (void)conversion.take(below(at + "/targetJobs", j) + "/name");
    conversion.drop(at, kTemplate,
                    ours ? "Has no equal in DistributedJob; left out."
                         : "Of a step other than node, which DistributedJob has not.");
  }
}

std::string runtime_title(Conversion& conversion) {
  const std::string kind = text(conversion.see("/spec/runtimeRef/kind"), "ClusterTrainingRuntime");
  return fmt::format("{} {}", kind, text(conversion.see("/spec/runtimeRef/name")));
}

std::string fill_in(Conversion& conversion) {
  const std::string runtime = runtime_title(conversion);
  const std::string name = text(conversion.see("/spec/runtimeRef/name"));
  conversion.drop(
      "/spec/runtimeRef", kTemplate,
      fmt::format("{} is not in this input, so its pod template (image, command, volumes) is not known "
                  "here. Put it into the same input: muster convert takes several documents.",
                  runtime));
  Json& container = conversion.out(below(kContainers, std::size_t{0}));
  if (!text_at(container, "image").empty()) return "";
  container["image"] = fmt::format("image-of-{}", name.empty() ? "the-runtime" : name);
  conversion.say(below(kContainers, std::size_t{0}) + "/image",
                 fmt::format("Put the image of {} here; the TrainJob names none.", runtime));
  return fmt::format("the image is that of {}: put it in place of {}, or put the runtime into the same input",
                     runtime, text(container["image"]));
}

}  // namespace

std::string convert_train_job(Conversion& conversion) {
  convert_metadata(conversion);
  for (const char* map : {"/spec/runtimeRef", "/spec/initializer", "/runtime/spec"})
    conversion.must_be_object(map);
  Node node;
  const bool known = !conversion.see("/runtime").is_null();
  if (known) {
    convert_runtime(conversion);
    node = take_runtime_template(conversion);
    if (node.from.empty()) return "";
  } else {
    conversion.out(kContainers) = Json::array({{{"name", kNode}}});
  }
  convert_trainer(conversion, node);
  convert_runtime_patches(conversion);
  convert_overrides(conversion);
  conversion.drop(
      "/spec/initializer", kTemplate,
      "Nothing is fetched before the training. Add an init container that fetches it into a volume, "
      "or mount what is there; Kubeflow's paths are /workspace/dataset and /workspace/model.");
  if (const auto suspend = conversion.boolean("/spec/suspend")) conversion.out("/spec/suspend") = *suspend;
  conversion.move_integer("/spec/activeDeadlineSeconds", "/spec/runPolicy/activeDeadlineSeconds",
                          {.min = 1, .max = 315'360'000});
  convert_managed_by(conversion, "/spec/managedBy", "trainer.kubeflow.org/trainjob-controller");
  std::string missing;
  if (known) {
    conversion.drop("/spec/runtimeRef", kTemplate, "The template below is that of the runtime.");
    conversion.drop("/runtime", "/spec", "Of the runtime: DistributedJob has no such field; left out.");
  } else {
    missing = fill_in(conversion);
  }
  if (!conversion.has("/spec/workers/replicas")) conversion.out("/spec/workers/replicas") = 1;
  fit_template(conversion, known ? node.from : std::string(kTrainer), node.role);
  return missing;
}

}  // namespace muster::cli
