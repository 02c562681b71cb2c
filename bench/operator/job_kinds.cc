// bench/operator/job_kinds.cc: manifests
#include "bench/operator/job_kinds.h"

namespace muster {
namespace {

constexpr const char* kRuntime = "muster-bench";

Json pod_spec(const char* container = "worker") {
  return {{"nodeSelector", {{"muster.dev/bench", "no-node-has-it"}}},
          {"containers", {{{"name", container}, {"image", "debian:12"}, {"command", {"sleep", "60"}}}}}};
}

Json object_of(const kube::Resource& resource, const std::string& name, Json spec) {
  return {{"apiVersion", resource.api_version()},
          {"kind", resource.kind},
          {"metadata", {{"name", name}}},
          {"spec", std::move(spec)}};
}

Json indexed_job() {
  Json spec = pod_spec();
  spec["restartPolicy"] = "Never";
  return {{"parallelism", kPodsAJob},
          {"completions", kPodsAJob},
          {"completionMode", "Indexed"},
          {"template", {{"spec", std::move(spec)}}}};
}

}  // namespace

JobKind plain_jobs() {
  return {.title = "DistributedJob, a program of one's own",
          .prefix = "plain",
          .resource = kube::kDistributedJobs,
          .manifest = [](const std::string& name) {
            return object_of(kube::kDistributedJobs, name,
                             {{"workers", {{"replicas", kPodsAJob}, {"template", {{"spec", pod_spec()}}}}}});
          }};
}

JobKind trainings() {
  return {.title = "DistributedJob, training",
          .prefix = "train",
          .resource = kube::kDistributedJobs,
          .manifest = [](const std::string& name) {
            const Json pod{{"nodeSelector", pod_spec()["nodeSelector"]}};
            return object_of(
                kube::kDistributedJobs, name,
                {{"workers", {{"replicas", kPodsAJob}, {"template", {{"spec", pod}}}}},
                 {"training", {{"model", {{"name", "softmax"}}}, {"dataset", {{"name", "synthetic"}}}}}});
          }};
}

namespace {

// Of Kubeflow Trainer 2: a TrainJob names the TrainingRuntime that has its pods.
JobKind train_jobs() {
  const kube::Resource runtimes{"trainer.kubeflow.org", "v1alpha1", "trainingruntimes", true,
                                "TrainingRuntime"};
  const kube::Resource jobs{"trainer.kubeflow.org", "v1alpha1", "trainjobs", true, "TrainJob"};
  const Json node{{"name", "node"},
                  {"template",
                   {{"metadata", {{"labels", {{"trainer.kubeflow.org/trainjob-ancestor-step", "trainer"}}}}},
                    {"spec", {{"template", {{"spec", pod_spec("node")}}}}}}}};
  return {
      .title = "TrainJob",
      .prefix = "trainjob",
      .resource = jobs,
      .manifest =
          [jobs](const std::string& name) {
            return object_of(
                jobs, name,
                {{"runtimeRef",
                  {{"apiGroup", "trainer.kubeflow.org"}, {"kind", "TrainingRuntime"}, {"name", kRuntime}}}});
          },
      .runtime = runtimes,
      .runtime_manifest = object_of(
          runtimes, kRuntime,
          {{"mlPolicy", {{"numNodes", kPodsAJob}}}, {"template", {{"spec", {{"replicatedJobs", {node}}}}}}})};
}

}  // namespace

std::vector<JobKind> jobs_of_others() {
  const kube::Resource jobs{"batch", "v1", "jobs", true, "Job"};
  const kube::Resource sets{"jobset.x-k8s.io", "v1alpha2", "jobsets", true, "JobSet"};
  return {{.title = "batch/v1 Job",
           .prefix = "batch",
           .resource = jobs,
           .manifest = [jobs](const std::string& name) { return object_of(jobs, name, indexed_job()); }},
          {.title = "JobSet",
           .prefix = "jobset",
           .resource = sets,
           .manifest =
               [sets](const std::string& name) {
                 return object_of(
                     sets, name,
                     {{"replicatedJobs",
                       {{{"name", "worker"}, {"replicas", 1}, {"template", {{"spec", indexed_job()}}}}}}});
               }},
          train_jobs()};
}

}  // namespace muster
