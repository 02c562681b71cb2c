// cli/convert/train_job.cc: TrainJob, trainer.kubeflow.org/v1alpha1
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/convert/kinds.h"
#include "cli/convert/pod_template.h"
#include "cli/convert/run_policy.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

constexpr const char* kTrainer = "/spec/trainer";
constexpr const char* kNode = "node";  // the job of the runtime, and its container, that trains
constexpr const char* kAncestor = "trainer.kubeflow.org/trainjob-ancestor-step";
constexpr const char* kPolicy = "/runtime/spec/mlPolicy";
constexpr const char* kJobSet = "/runtime/spec/template/spec";
constexpr const char* kJobs = "/runtime/spec/template/spec/replicatedJobs";
constexpr const char* kMaxRestarts = "/spec/runPolicy/maxRestarts";
constexpr IntegerRange kSeconds{.min = 1, .max = 315'360'000};

struct Node {
  std::string from;      // the template's place in the source; "" without a runtime
  std::size_t role = 0;  // index of the container that trains
};

void convert_processes(Conversion& conversion, const std::string& from) {
  if (const Json& value = conversion.see(from); value.is_string()) {  // releases before 2.1: auto, cpu, gpu
    conversion.drop(
        from, "/spec/workers",
        "Without workers.processesPerNode it is one process for each GPU in the container's limits, "
        "else one; set it to another number.");
  } else {
    conversion.move_integer(from, "/spec/workers/processesPerNode", {.min = 1, .max = 1024});
  }
}

// Of the batch/v1 Job that a step is.
void convert_job(Conversion& conversion, const std::string& from) {
  conversion.move_integer(from + "/activeDeadlineSeconds", "/spec/runPolicy/activeDeadlineSeconds", kSeconds);
  const std::string failures = from + "/backoffLimit";
  if (!conversion.has(kMaxRestarts))
    conversion.move_integer(failures, kMaxRestarts, {.min = 0, .max = 1'000'000});
  else
    conversion.drop(failures, kMaxRestarts,
                    "A pod that fails restarts all workers, which maxRestarts counts.");
}

bool mounts(const Json& template_spec, const std::string& volume) {
  const auto has = [&](const Json& container) {
    const Json& list = member(container, "volumeMounts");
    return std::any_of(list.begin(), list.end(),
                       [&](const Json& each) { return text_at(each, "name") == volume; });
  };
  return std::ranges::any_of(std::array{"containers", "initContainers"}, [&](const char* list) {
    const Json& containers = member(template_spec, list);
    return std::any_of(containers.begin(), containers.end(), has);
  });
}

// A JobSet makes these claims, and a volume of each claim's name in the pods that mount it.
void convert_claims(Conversion& conversion) {
  const std::string from = kJobSet + std::string("/volumeClaimPolicies");
  conversion.must_be_array(from);
  Json& spec = conversion.out(std::string(kTemplate) + "/spec");
  for (std::size_t i = 0; i < conversion.see(from).size(); ++i) {
    const std::string templates = below(from, i) + "/templates";
    conversion.must_be_array(templates);
    for (std::size_t j = 0; j < conversion.see(templates).size(); ++j) {
      const std::string name = text(conversion.see(below(templates, j) + "/metadata/name"));
      if (name.empty() || !mounts(spec, name)) continue;
      Json claim = conversion.take(below(templates, j));
      claim["apiVersion"] = "v1";
      claim["kind"] = "PersistentVolumeClaim";
      claim["metadata"]["name"] = fmt::format("{}-{}", name, name_of_job(conversion));
      if (conversion.has("/metadata/namespace"))
        claim["metadata"]["namespace"] = conversion.out("/metadata/namespace");
      spec["volumes"].push_back(
          {{"name", name}, {"persistentVolumeClaim", {{"claimName", claim["metadata"]["name"]}}}});
      conversion.say(std::string(kTemplate) + "/spec/volumes",
                     fmt::format("The claim {} stands above; it stays when the job is deleted.",
                                 text(claim["metadata"]["name"])));
      conversion.add_object(std::move(claim));
    }
    conversion.drop(
        below(from, i), std::string(kTemplate) + "/spec",
        "Claims that no container of the workers mounts, and how long claims stay: they are yours.");
  }
}

// Programs know of each other by what Kubeflow's policy puts into their environment.
void convert_policy(Conversion& conversion) {
  conversion.must_be_object(kPolicy);
  conversion.move_integer(kPolicy + std::string("/numNodes"), "/spec/workers/replicas",
                          {.min = 0, .max = 1000});
  if (conversion.see(std::string(kTrainer) + "/numProcPerNode").is_null())
    convert_processes(conversion, kPolicy + std::string("/torch/numProcPerNode"));
  conversion.drop(
      kPolicy + std::string("/torch"), "/spec/workers",
      "Muster gives every program the variables of torchrun; workers.processesPerNode says how many "
      "processes a pod has, else one for each GPU.");
  for (const auto& [key, value] : conversion.see(kPolicy).items())
    if (key != "numNodes" && key != "torch" && key != "jax" && !value.is_null())
      conversion.fail(
          below(kPolicy, key),
          fmt::format(
              "is not converted: the launcher, files and variables that {} programs get by it have "
              "no equal here. Converted are the policies torch and jax, and MPIJobs (kubeflow.org/v2beta1)",
              key));
}

void add_jax_variables(Conversion& conversion, const Node& node) {
  const std::string policy = kPolicy + std::string("/jax");
  if (!conversion.see(policy).is_object()) return;
  if (conversion.see(policy).empty()) (void)conversion.take(policy);
  Json& container = conversion.out(below(kContainers, node.role));
  add_variable(container, "JAX_COORDINATOR_ADDRESS", "$(MASTER_ADDR):$(MASTER_PORT)");
  add_variable(container, "JAX_NUM_PROCESSES", "$(PET_NNODES)");
  add_variable(container, "JAX_PROCESS_ID", "$(NODE_RANK)");
}

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
    convert_job(conversion, job + "/template/spec");
    take_template(conversion, from);
    if (!conversion.has(kContainers)) return {};
    convert_claims(conversion);
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
  convert_policy(conversion);
  conversion.move_integer(kJobSet + std::string("/failurePolicy/maxRestarts"), kMaxRestarts,
                          {.min = 0, .max = 1'000'000});
  conversion.move_integer(kJobSet + std::string("/ttlSecondsAfterFinished"),
                          "/spec/runPolicy/ttlSecondsAfterFinished", {.min = 0, .max = kSeconds.max});
  if (conversion.see("/runtime/spec/podGroupPolicy").is_object()) ask_for_gang(conversion);
  conversion.drop("/runtime/spec/podGroupPolicy", "/spec/scheduling",
                  "The gang is made by whoever can: see scheduling.gang.");
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
  convert_processes(conversion, from + "/numProcPerNode");
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
  if (known) add_jax_variables(conversion, node);
  convert_runtime_patches(conversion);
  convert_overrides(conversion);
  conversion.drop(
      "/spec/initializer", kTemplate,
      "Nothing is fetched before the training. Add an init container that fetches it into a volume, "
      "or mount what is there; Kubeflow's paths are /workspace/dataset and /workspace/model.");
  convert_suspend(conversion, "/spec/suspend");
  conversion.move_integer("/spec/activeDeadlineSeconds", "/spec/runPolicy/activeDeadlineSeconds", kSeconds);
  for (const char* map : {"labels", "annotations"})  // of what the runtime makes of the job
    conversion.move_members(below("/spec", map), below("/metadata", map));
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
