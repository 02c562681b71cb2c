// tests/operator/core/program_pod_test.cc: the pod of a program beside Muster's worker
#include <gmock/gmock.h>

#include "operator/api/pod_template.h"
#include "operator/core/pod_plan.h"
#include "pods_of_digits.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

// The user's container stays as it is, but for the socket; keys, ports and storage are the sidecar's.
TEST(PodPlan, BesideAProgramOursIsASidecarWithTheKeys) {
  const Json pod_template = Json::parse(R"({"spec": {
    "initContainers": [{"name": "fetch", "image": "fetch:1"}],
    "containers": [{"name": "worker", "image": "train:1", "env": [{"name": "A", "value": "b"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "all", "mountPath": "/store"},
                                     {"name": "runs", "mountPath": "/store/runs"}]}],
    "volumes": [{"name": "data", "emptyDir": {}}]}})");
  const Json pod = pod_manifest({.owner = kOwner,
                                 .kind = "DistributedJob",
                                 .role = "worker",
                                 .pod_template = pod_template,
                                 .beside_program = true,
                                 .checkpoint_path = "/store/runs/1",
                                 .sidecar_resources = {{"limits", {{"memory", "1Gi"}}}},
                                 .default_image = "muster-worker:1",
                                 .ca = "cafe0123"});
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/ca"], "cafe0123");
  const Json& spec = pod["spec"];
  EXPECT_FALSE(spec.contains("automountServiceAccountToken")) << "the program's own business";
  EXPECT_EQ(spec["securityContext"],
            Json::parse(R"({"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"})"))
      << "for the keys";
  ASSERT_EQ(spec["containers"].size(), 1U);
  const Json& program = spec["containers"][0];
  EXPECT_EQ(program["image"], "train:1");
  EXPECT_FALSE(program.contains("securityContext"));
  EXPECT_FALSE(program.contains("ports"));
  EXPECT_EQ(program["volumeMounts"].size(), 4U);
  EXPECT_EQ(env_of(program).at("MUSTER_SOCKET"), "/var/run/muster.dev/socket/worker");
  EXPECT_EQ(env_of(program).at("A"), "b");
  EXPECT_FALSE(env_of(program).contains("RANK"));
  EXPECT_EQ(program.dump().find("credentials"), std::string::npos);

  ASSERT_EQ(spec["initContainers"].size(), 2U);
  EXPECT_EQ(spec["initContainers"][0]["name"], "fetch");
  const Json& ours = spec["initContainers"][1];
  EXPECT_EQ(ours["name"], "muster");
  EXPECT_EQ(ours["restartPolicy"], "Always");
  EXPECT_EQ(ours["image"], "muster-worker:1");
  EXPECT_EQ(ours["securityContext"]["runAsUser"], 65532);
  EXPECT_EQ(ours["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
  EXPECT_EQ(ours["ports"].size(), 3U);
  EXPECT_EQ(ours["resources"], Json::parse(R"({"limits": {"memory": "1Gi"}})"));
  EXPECT_EQ(env_of(ours).at("MUSTER_SOCKET"), "/var/run/muster.dev/socket/worker");
  EXPECT_EQ(env_of(ours).at("MUSTER_POD_UID"), "metadata.uid");
  std::vector<std::string> mounts;
  for (const Json& mount : ours["volumeMounts"]) mounts.push_back(mount["name"]);
  EXPECT_EQ(mounts, (std::vector<std::string>{"muster-socket", "runs", "muster-credentials"}));
}

TEST(PodTemplateOfAProgram, LeavesTheSidecarsNamesToMuster) {
  struct Case {
    const char* spec;
    const char* says;
  };
  for (
      const Case& given :
      {Case{R"({"containers": [{"name": "worker"}]})", "spec.containers[0].image: required field is missing"},
       Case{R"({"containers": []})", "at least one is needed"},
       Case{R"({"containers": [{"name": "muster", "image": "i"}]})", "choose another"},
       Case{R"({"containers": [{"image": "i"}], "initContainers": [{"name": "muster", "image": "i"}]})",
            "initContainers[0].name: muster is the container of Muster's worker"},
       Case{R"({"containers": [{"image": "i"}], "volumes": [{"name": "muster-socket", "emptyDir": {}}]})",
            "the worker's socket"},
       Case{R"({"containers": [{"image": "i"}], "shareProcessNamespace": true})",
            "would show the pod's keys"},
       Case{
           R"({"containers": [{"image": "i", "volumeMounts": [{"name": "x", "mountPath": "/run/muster.dev/socket"}]}]})",
           "where Muster mounts the worker's socket"},
       Case{R"({"containers": [{"image": "i", "env": [{"name": "MUSTER_SOCKET", "value": "x"}]}]})",
            "MUSTER_SOCKET is set by Muster"}}) {
    const auto read = api::validate_pod_template({{"spec", Json::parse(given.spec)}}, "t",
                                                 {.role = "worker", .beside_program = true});
    ASSERT_FALSE(read) << given.spec;
    EXPECT_THAT(read.error().message, HasSubstr(given.says));
  }
}

}  // namespace
}  // namespace muster::op::testing
