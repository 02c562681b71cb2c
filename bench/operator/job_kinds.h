#pragma once  // bench/operator/job_kinds.h: the same few pods, wanted from Muster and from other controllers
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "kube/request.h"

namespace muster {

constexpr int kPodsAJob = 4;
constexpr const char* kBenchNamespace = "default";

// No node has the label that the pods ask for: what is measured is their creation.
struct JobKind {
  std::string title;
  std::string prefix;  // of names
  kube::Resource resource;
  std::function<Json(const std::string& name)> manifest;
  std::optional<kube::Resource> runtime{};  // of an object that the manifests name
  Json runtime_manifest{};
};

// A program of the user's under a DistributedJob; a training of Muster's.
[[nodiscard]] JobKind plain_jobs();
[[nodiscard]] JobKind trainings();
// batch/v1 Jobs, JobSets, TrainJobs of Kubeflow Trainer: the pods of plain_jobs(), from other controllers.
[[nodiscard]] std::vector<JobKind> jobs_of_others();

}  // namespace muster
