// tests/operator/core/mounts_test.cc: paths that a pod reads and writes fit what its template mounts
#include "operator/api/mounts.h"

#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Json kTemplate = Json::parse(R"({"spec": {
  "containers": [
    {"name": "sidecar", "image": "s", "volumeMounts": [{"name": "other", "mountPath": "/sidecar"}]},
    {"name": "ROLE", "volumeMounts": [
      {"name": "out", "mountPath": "/out/"},
      {"name": "out", "mountPath": "/out/kept/back", "readOnly": true},
      {"name": "data", "mountPath": "/data", "readOnly": true},
      {"name": "settings", "mountPath": "/settings"},
      {"name": "claim", "mountPath": "/claim"}]}],
  "volumes": [
    {"name": "out", "emptyDir": {}}, {"name": "other", "emptyDir": {}}, {"name": "data", "emptyDir": {}},
    {"name": "settings", "configMap": {"name": "c"}},
    {"name": "claim", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}}]}})");

Json template_of(const std::string& role) {
  Json made = kTemplate;
  made["spec"]["containers"][1]["name"] = role;
  return made;
}

// What the reader says of the spec: "" is agreement.
std::string job_with(const std::string& dataset, const std::string& checkpoint) {
  Json spec = job().json()["spec"];
  spec["workers"]["template"] = template_of("worker");
  spec["training"]["dataset"]["path"] = dataset;
  if (!checkpoint.empty()) spec["training"]["checkpoint"] = {{"path", checkpoint}};
  const auto read = api::distributed_job_spec_from_json(spec);
  return read ? "" : read.error().message;
}
std::string round_with(const std::string& dataset, const std::string& storage) {
  Json spec = federated_round(4, 2)["spec"];
  spec["aggregator"]["template"] = template_of("aggregator");
  spec["training"]["dataset"]["path"] = dataset;
  if (!storage.empty()) spec["aggregator"]["storage"] = {{"path", storage}};
  const auto read = api::federated_round_spec_from_json(spec);
  return read ? "" : read.error().message;
}

TEST(Mounts, CheckpointsLieInAVolumeThatCanBeWritten) {
  const struct {
    const char* path;
    const char* error;  // "": taken
  } cases[] = {
      {"", ""},
      {"/out", ""},
      {"/out/run-1", ""},
      {"/elsewhere/../out/x", ""},
      {"out", "is not absolute"},
      {"/", "is in no volume"},
      {"/ckpt", "is in no volume"},
      {"/output", "is in no volume"},
      {"/out/../etc", "is in no volume"},
      {"/sidecar", "is in no volume"},
      {"/data/x", "is in /data, which is mounted read-only"},
      {"/out/kept/back/x", "is in /out/kept/back, which is mounted read-only"},
      {"/settings", "which is mounted read-only"},
      {"/claim/x", "which is mounted read-only"},
  };
  for (const auto& each : cases) {
    for (const bool federated : {false, true}) {
      const std::string error = federated ? round_with("/data", each.path) : job_with("/data", each.path);
      if (each.error[0] == '\0') {
        EXPECT_EQ(error, "") << each.path;
        continue;
      }
      EXPECT_THAT(error, HasSubstr(each.error)) << each.path;
      EXPECT_THAT(
          error, HasSubstr(federated ? "spec.aggregator.storage.path: " : "spec.training.checkpoint.path: "));
    }
  }
  const std::string error = job_with("/data", "/ckpt");
  EXPECT_THAT(error, HasSubstr("/data (read-only)")) << "names the mounts";
  EXPECT_THAT(error, HasSubstr("add a volume to spec.workers.template")) << "and the remedy";
}

TEST(Mounts, AMountIsWhereAKubeletPutsItHoweverItIsSpelt) {
  for (const char* spelt : {"ckpt", "/ckpt/", "//ckpt", "/a/../ckpt"}) {
    Json pod_template = template_of("worker");
    for (Json& container : pod_template["spec"]["containers"])
      for (Json& mount : container["volumeMounts"])
        if (mount["mountPath"] == "/out/") mount["mountPath"] = spelt;
    EXPECT_THAT(api::writable_mounts(pod_template, "worker"), ElementsAre("/ckpt")) << spelt;
  }
}

TEST(Mounts, AProgramsCheckpointsAreWhereItsWorkerHasThemToo) {
  Json pod_template = template_of("worker");
  for (Json& container : pod_template["spec"]["containers"])
    for (Json& mount : container["volumeMounts"])
      if (mount["mountPath"] == "/out/") mount["subPathExpr"] = "runs/$(RUN)";
  const Status status = api::check_shared_storage("/out/x", "f", pod_template, "worker");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("is in /out/, which is mounted by subPathExpr"));
  EXPECT_TRUE(api::check_shared_storage("/data/x", "f", pod_template, "worker"));
  for (const char* shared : {"plain", "$(MUSTER_JOB_NAME)", "runs/$(MUSTER_JOB_NAME)/$(MUSTER_INDEX)"}) {
    for (Json& container : pod_template["spec"]["containers"])
      for (Json& mount : container["volumeMounts"])
        if (mount["mountPath"] == "/out/") mount["subPathExpr"] = shared;
    EXPECT_TRUE(api::check_shared_storage("/out/x", "f", pod_template, "worker")) << shared;
  }
}

TEST(Mounts, DatasetsAreNotAmongTheFilesOfTheSystem) {
  for (const char* path : {"/data", "/usr/share/datasets", "/out/x", "/etcetera", "/srv/run"}) {
    EXPECT_EQ(job_with(path, ""), "") << path;
    EXPECT_EQ(round_with(path, ""), "") << path;
  }
  for (const char* path :
       {"/etc", "/etc/passwd", "/proc/self/environ", "/sys/x", "/dev/sda", "/run/secrets/x",
        "/var/run/secrets/kubernetes.io/serviceaccount/token", "/data/../etc/shadow", "//etc/x", "/"}) {
    EXPECT_THAT(job_with(path, ""), HasSubstr("spec.training.dataset.path: ")) << path;
    EXPECT_THAT(round_with(path, ""), HasSubstr("spec.training.dataset.path: ")) << path;
  }
}

TEST(Mounts, PodsAreToldWhereTheyMayWrite) {
  EXPECT_THAT(api::writable_mounts(template_of("worker"), "worker"), ElementsAre("/out"));
  ClusterModel cluster(job().workers(1).set("/spec/workers/template", template_of("worker")).json());
  cluster.bring_up();
  ASSERT_EQ(cluster.assignments.size(), 1U);
  EXPECT_THAT(cluster.assignments.begin()->second.writable_mounts(), ElementsAre("/out"));
}

}  // namespace
}  // namespace muster::op::testing
