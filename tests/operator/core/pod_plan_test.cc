// tests/operator/core/pod_plan_test.cc: the pod contract of ARCHITECTURE.md, as the manifests keep it
#include "operator/core/pod_plan.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "operator/api/pod_template.h"
#include "operator/core/failure_policy.h"
#include "pods_of_digits.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;

Json manifest(const Json& pod_template, bool ours = true, const spec::Rendezvous& rendezvous = {}) {
  return pod_manifest({.owner = kOwner,
                       .kind = "DistributedJob",
                       .role = "worker",
                       .index = 2,
                       .incarnation = 3,
                       .attempt = 0,
                       .world_size = 4,
                       .pod_template = pod_template,
                       .image_is_ours = ours,
                       .default_image = "muster-worker:1",
                       .rendezvous = rendezvous,
                       .ca = "cafe0123"});
}

TEST(PodPlan, ATemplateThatSaysNothingBecomesARestrictedMusterPod) {
  const Json pod = manifest(nullptr);
  EXPECT_EQ(pod["metadata"]["name"], "digits-worker-2");
  EXPECT_EQ(pod["metadata"]["namespace"], "team");
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/index"], "2");
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/incarnation"], "3");
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/job-uid"], "u-1");
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["controller"], true);
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
  const Json& spec = pod["spec"];
  EXPECT_EQ(spec["hostname"], "digits-worker-2");
  EXPECT_EQ(spec["subdomain"], "digits");
  EXPECT_EQ(spec["restartPolicy"], "Never");
  EXPECT_EQ(spec["automountServiceAccountToken"], false);
  EXPECT_EQ(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
  ASSERT_EQ(spec["containers"].size(), 1U);
  const Json& container = spec["containers"][0];
  EXPECT_EQ(container["name"], "worker");
  EXPECT_EQ(container["image"], "muster-worker:1");
  EXPECT_EQ(container["imagePullPolicy"], "IfNotPresent") << "whatever tag --worker-image has";
  EXPECT_EQ(container["securityContext"]["runAsNonRoot"], true);
  EXPECT_EQ(container["securityContext"]["allowPrivilegeEscalation"], false);
  EXPECT_EQ(container["securityContext"]["capabilities"]["drop"][0], "ALL");
  EXPECT_EQ(container["ports"].size(), 3U);
  const auto env = env_of(container);
  EXPECT_EQ(env.at("MUSTER_POD_NAME"), "metadata.name");
  EXPECT_EQ(env.at("MUSTER_POD_UID"), "metadata.uid");
  EXPECT_EQ(env.at("MUSTER_POD_IP"), "status.podIP");
  EXPECT_EQ(env.at("MUSTER_JOB_UID"), "u-1");
  EXPECT_EQ(env.at("MUSTER_INCARNATION"), "3");
  EXPECT_EQ(env.at("MUSTER_ROLE"), "worker");
  EXPECT_EQ(env.at("MUSTER_INDEX"), "2");
  EXPECT_FALSE(env.contains("RANK"));
}

TEST(PodPlan, WhoeverSaysWhichUserItIsIsNotContradicted) {
  struct Case {
    const char* pod;
    const char* container;
    const char* expected;  // runAsNonRoot and runAsUser of the container
  };
  for (const Case& given :
       {Case{"{}", "{}", R"({"runAsNonRoot": true, "runAsUser": 65532})"},
        Case{R"({"runAsUser": 1000})", "{}", R"({"runAsNonRoot": true})"},
        Case{R"({"runAsUser": 0})", "{}", "{}"},
        Case{R"({"runAsUser": 0})", R"({"runAsUser": 7})", R"({"runAsNonRoot": true, "runAsUser": 7})"},
        Case{R"({"runAsUser": 7})", R"({"runAsUser": 0})", R"({"runAsUser": 0})"},
        Case{"{}", R"({"runAsUser": 0})", R"({"runAsUser": 0})"},
        Case{R"({"runAsNonRoot": true})", "{}", "{}"},
        Case{"{}", R"({"runAsNonRoot": false})", R"({"runAsNonRoot": false})"}}) {
    Json pod = Json::parse(R"({"spec": {"containers": [{"name": "worker"}]}})");
    pod["spec"]["securityContext"] = Json::parse(given.pod);
    pod["spec"]["containers"][0]["securityContext"] = Json::parse(given.container);
    Json made = manifest(pod)["spec"]["containers"][0]["securityContext"];
    made.erase("allowPrivilegeEscalation");
    made.erase("capabilities");
    EXPECT_EQ(made, Json::parse(given.expected)) << given.pod << " " << given.container;
  }
}

TEST(PodPlan, WhatTheUserSaysStays) {
  const Json pod = manifest(Json::parse(R"json({
    "metadata": {"labels": {"team": "vision"}, "annotations": {"note": "x"}},
    "spec": {"automountServiceAccountToken": true, "securityContext": {"runAsUser": 7, "fsGroup": 9},
             "containers": [{"name": "side", "image": "side:1"},
                            {"name": "worker", "image": "mine:2", "env": [{"name": "A", "value": "$(MUSTER_POD_NAME)"}],
                             "securityContext": {"allowPrivilegeEscalation": true}}]}})json"));
  EXPECT_EQ(pod["metadata"]["labels"]["team"], "vision");
  EXPECT_EQ(pod["metadata"]["annotations"]["note"], "x");
  EXPECT_EQ(pod["spec"]["automountServiceAccountToken"], true);
  EXPECT_EQ(pod["spec"]["securityContext"]["fsGroup"], 9);
  const Json& side = pod["spec"]["containers"][0];
  EXPECT_EQ(side["image"], "side:1");
  EXPECT_FALSE(side.contains("securityContext"));
  EXPECT_EQ(env_of(side).at("MUSTER_ROLE"), "worker");
  const Json& worker = pod["spec"]["containers"][1];
  EXPECT_EQ(worker["image"], "mine:2");
  EXPECT_EQ(worker["securityContext"]["allowPrivilegeEscalation"], true);
  EXPECT_FALSE(worker["securityContext"].contains("runAsUser")) << "the pod's own user holds";
  EXPECT_EQ(worker["env"].back()["name"], "A") << "ours first, so that the user's can refer to them";
}

TEST(PodPlan, ContainersOfTheUsersOwnGetTheRendezvousAndNothingElse) {
  const Json pod =
      manifest(Json::parse(R"({"spec": {"containers": [{"name": "main", "image": "torch:2"}]}})"), false);
  const Json& container = pod["spec"]["containers"][0];
  const auto env = env_of(container);
  EXPECT_EQ(env.at("MASTER_ADDR"), "digits-worker-0.digits");
  EXPECT_EQ(env.at("MASTER_PORT"), "29500");
  EXPECT_EQ(env.at("RANK"), "2");
  EXPECT_EQ(env.at("WORLD_SIZE"), "4");
  EXPECT_EQ(env.at("LOCAL_RANK"), "0");
  EXPECT_EQ(env.at("PET_NNODES"), "4");
  EXPECT_EQ(env.at("PET_NODE_RANK"), "2");
  EXPECT_FALSE(container.contains("securityContext")) << "an image that runs as root must still start";
  EXPECT_FALSE(pod["spec"].contains("securityContext"));
  EXPECT_EQ(container["terminationMessagePolicy"], "FallbackToLogsOnError");
  EXPECT_FALSE(pod["spec"].contains("volumes")) << "whose programs are not ours get no keys";
  EXPECT_FALSE(container.contains("volumeMounts"));
  EXPECT_FALSE(pod["metadata"]["labels"].contains("muster.dev/ca"));
}

TEST(PodPlan, OnlyTheContainerOfTheRoleGetsTheKeysOfItsPodAlone) {
  const Json pod = manifest(Json::parse(R"json({
    "spec": {"volumes": [{"name": "data", "emptyDir": {}}],
             "initContainers": [{"name": "fetch", "image": "fetch:1"}],
             "containers": [{"name": "side", "image": "side:1"},
                            {"name": "worker", "image": "mine:2", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}})json"));
  EXPECT_EQ(pod["metadata"]["labels"]["muster.dev/ca"], "cafe0123");
  const Json& spec = pod["spec"];
  EXPECT_EQ(spec["securityContext"]["fsGroup"], 65532) << "the group that may read them";
  EXPECT_EQ(spec["volumes"], Json::parse(R"json([
      {"name": "data", "emptyDir": {}},
      {"name": "muster-credentials",
       "secret": {"secretName": "digits-u-1-cafe0123-worker-0", "defaultMode": 288,
                  "items": [{"key": "2.key", "path": "tls.key"}, {"key": "2.crt", "path": "tls.crt"},
                            {"key": "ca.crt", "path": "ca.crt"}]}}])json"));
  EXPECT_EQ(
      spec["containers"][1]["volumeMounts"][1],
      Json::parse(
          R"({"name": "muster-credentials", "mountPath": "/var/run/secrets/muster.dev", "readOnly": true})"));
  EXPECT_FALSE(spec["containers"][0].contains("volumeMounts"));
  EXPECT_FALSE(spec["initContainers"][0].contains("volumeMounts"));
}

TEST(PodPlan, ASecretOfKeysIsOwnedImmutableAndHasNoKeysYet) {
  const Json secret = credentials_manifest(kOwner, "DistributedJob", "digits-u-1-cafe0123-worker-0");
  EXPECT_EQ(secret["immutable"], true);
  EXPECT_EQ(secret["metadata"]["namespace"], "team");
  EXPECT_EQ(secret["metadata"]["ownerReferences"][0]["uid"], "u-1");
  EXPECT_EQ(secret["metadata"]["labels"]["muster.dev/job-uid"], "u-1");
  EXPECT_FALSE(secret.contains("data"));
}

TEST(PodPlan, SeveralProcessesANodeCountInRankAndWorldSize) {
  const Json pod_template =
      Json::parse(R"({"spec": {"containers": [{"name": "main", "image": "torch:2"}]}})");
  const Json pod = manifest(pod_template, false, {.master_port = 23456, .processes_per_node = 8});
  const auto env = env_of(pod["spec"]["containers"][0]);
  EXPECT_EQ(env.at("MASTER_PORT"), "23456");
  EXPECT_EQ(env.at("PET_MASTER_PORT"), "23456");
  EXPECT_EQ(env.at("RANK"), "16");
  EXPECT_EQ(env.at("WORLD_SIZE"), "32");
  EXPECT_EQ(env.at("LOCAL_WORLD_SIZE"), "8");
  EXPECT_EQ(env.at("PET_NPROC_PER_NODE"), "8");
  EXPECT_EQ(env.at("PET_NNODES"), "4");
  EXPECT_EQ(env.at("NODE_RANK"), "2");
  EXPECT_EQ(service_manifest(kOwner, "DistributedJob", false, 23456)["spec"]["ports"][0]["port"], 23456);
}

TEST(PodPlan, AGpuIsAProcessAndBringsSharedMemory) {
  const Json pod_template = Json::parse(R"({"spec": {"containers": [{"name": "main", "image": "torch:2",
      "resources": {"limits": {"nvidia.com/gpu": "8", "memory": "64Gi", "nvidia.com/mig-1g.5gb": 2}}}]}})");
  const Json pod = manifest(pod_template, false);
  const auto env = env_of(pod["spec"]["containers"][0]);
  EXPECT_EQ(env.at("PET_NPROC_PER_NODE"), "8");
  EXPECT_EQ(env.at("WORLD_SIZE"), "32");
  EXPECT_EQ(env.at("RANK"), "16");
  EXPECT_EQ(pod["spec"]["volumes"][0]["emptyDir"], Json::parse(R"({"medium": "Memory"})"));
  EXPECT_EQ(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/dev/shm");
  EXPECT_EQ(env_of(manifest(pod_template, false,
                            {.master_port = 1, .processes_per_node = 2})["spec"]["containers"][0])
                .at("WORLD_SIZE"),
            "8")
      << "processesPerNode wins";
}

TEST(PodPlan, TheTemplatesOwnSharedMemoryStays) {
  const Json pod_template =
      Json::parse(R"({"spec": {"volumes": [{"name": "shm", "emptyDir": {}}], "containers": [
      {"name": "main", "image": "torch:2", "resources": {"limits": {"amd.com/gpu": 1}},
       "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}]}})");
  const Json pod = manifest(pod_template, false);
  EXPECT_EQ(pod["spec"]["volumes"].size(), 1U);
  EXPECT_EQ(env_of(pod["spec"]["containers"][0]).at("PET_NPROC_PER_NODE"), "1");
}

TEST(PodPlan, SharedMemoryHasItsSizeAndWorkersKeepTogether) {
  const Json pod_template = Json::parse(R"({"spec": {"affinity": {"nodeAffinity": {"x": 1}}}})");
  const Json pod = pod_manifest({.owner = kOwner,
                                 .kind = "DistributedJob",
                                 .role = "worker",
                                 .world_size = 4,
                                 .pod_template = pod_template,
                                 .default_image = "muster-worker:1",
                                 .topology_key = "topology.kubernetes.io/zone",
                                 .shared_memory = "2Gi",
                                 .ca = "cafe0123"});
  EXPECT_EQ(pod["spec"]["volumes"].back()["emptyDir"]["sizeLimit"], "2Gi");
  EXPECT_EQ(pod["spec"]["affinity"]["nodeAffinity"]["x"], 1);
  const Json& term =
      pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
  EXPECT_EQ(term["topologyKey"], "topology.kubernetes.io/zone");
  EXPECT_EQ(term["labelSelector"]["matchLabels"]["muster.dev/job-uid"], "u-1");
}

TEST(PodFromJson, AnUnhealthyDeviceIsADisruption) {
  Json pod = manifest(nullptr);
  pod["status"] =
      Json::parse(R"({"phase": "Running", "containerStatuses": [{"name": "worker", "state": {"running": {}},
      "allocatedResourcesStatus": [{"name": "nvidia.com/gpu", "resources": [
          {"resourceID": "GPU-1", "health": "Healthy"}, {"resourceID": "GPU-7", "health": "Unhealthy"}]}]}]})");
  const auto read = pod_from_json(pod, kOwner.uid);
  ASSERT_TRUE(read);
  EXPECT_EQ(fate_of(*read), PodFate::kDisrupted);
  EXPECT_THAT(end_of(*read), HasSubstr("nvidia.com/gpu GPU-7 is unhealthy"));
}

TEST(PodFromJson, AWorkerThatSawItsDeviceFailIsDisruptedTooAndItsPeersAreNot) {
  Json pod = manifest(nullptr);
  pod["status"] =
      Json::parse(R"({"phase": "Failed", "containerStatuses": [{"name": "worker", "state": {"terminated":
      {"exitCode": 75, "reason": "Error", "message": "the device GPU-7 has failed: XID 79, it has fallen off the bus; its pod needs another"}}}]})");
  const auto read = pod_from_json(pod, kOwner.uid);
  ASSERT_TRUE(read);
  EXPECT_EQ(fate_of(*read), PodFate::kDisrupted);
  EXPECT_THAT(end_of(*read), HasSubstr("DeviceUnhealthy: the device GPU-7 has failed: XID 79"));
  Json& end = pod["status"]["containerStatuses"][0]["state"]["terminated"];
  end["message"] = "rank 1 (10.0.0.2:8471) ended: " + end["message"].get<std::string>();
  EXPECT_EQ(fate_of(*pod_from_json(pod, kOwner.uid)), PodFate::kFailed);
}

TEST(PodPlan, OfTheTemplatesMetadataLabelsAnnotationsAndFinalizersReachThePod) {
  const Json given = Json::parse(R"({
    "metadata": {"namespace": "other", "name": "x", "generateName": "x-", "finalizers": ["a.b/c"], "uid": "7",
                 "creationTimestamp": null, "ownerReferences": [], "managedFields": [], "labels": null},
    "spec": {"containers": null, "initContainers": null, "hostname": null}})");
  EXPECT_TRUE(api::validate_pod_template(given, "t", {.role = "worker"}));
  const Json metadata = manifest(given)["metadata"];
  EXPECT_EQ(metadata["name"], "digits-worker-2");
  EXPECT_EQ(metadata["namespace"], "team");
  EXPECT_EQ(metadata["finalizers"][0], "a.b/c");
  for (const char* dropped : {"generateName", "uid", "managedFields", "creationTimestamp"})
    EXPECT_FALSE(metadata.contains(dropped)) << dropped;
}

TEST(PodPlan, EveryContainersLastWordsAreKept) {
  const Json pod = manifest(Json::parse(R"({"spec": {
    "initContainers": [{"name": "fetch", "image": "x"}],
    "containers": [{"name": "worker"}, {"name": "side", "image": "x", "terminationMessagePolicy": "File"}]}})"));
  EXPECT_EQ(pod["spec"]["initContainers"][0]["terminationMessagePolicy"], "FallbackToLogsOnError");
  EXPECT_EQ(pod["spec"]["containers"][0]["terminationMessagePolicy"], "FallbackToLogsOnError");
  EXPECT_EQ(pod["spec"]["containers"][1]["terminationMessagePolicy"], "File");
}

TEST(PodPlan, DefaultImagesAreOfTheOperatorsOwnVersion) {
  const PodDefaults defaults;
  EXPECT_EQ(defaults.worker_image, "muster-worker:" MUSTER_VERSION);
  EXPECT_EQ(defaults.aggregator_image, "muster-aggregator:" MUSTER_VERSION);
  EXPECT_EQ(defaults.device_image, "muster-device:" MUSTER_VERSION);
}

TEST(PodPlan, TheServiceIsHeadlessAndPublishesUnreadyAddresses) {
  const Json service = service_manifest(kOwner, "DistributedJob", true);
  EXPECT_EQ(service["metadata"]["name"], "digits");
  EXPECT_EQ(service["spec"]["clusterIP"], "None");
  EXPECT_EQ(service["spec"]["publishNotReadyAddresses"], true);
  EXPECT_EQ(service["spec"]["selector"]["muster.dev/job-uid"], "u-1");
  EXPECT_EQ(service["metadata"]["ownerReferences"][0]["uid"], "u-1");
}

struct BadTemplate {
  const char* json;
  bool ours;
  const char* complaint;
};
class PodTemplate : public ::testing::TestWithParam<BadTemplate> {};

TEST_P(PodTemplate, IsRefusedWithTheFieldsPath) {
  const Status status = api::validate_pod_template(Json::parse(GetParam().json), "spec.workers.template",
                                                   {.role = "worker", .image_is_ours = GetParam().ours});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr(GetParam().complaint));
}
INSTANTIATE_TEST_SUITE_P(
    Bad, PodTemplate,
    ::testing::Values(
        BadTemplate{R"([])", true, "spec.workers.template: must be an object"},
        BadTemplate{R"({"sepc": {}})", true, "spec.workers.template.sepc: unknown field"},
        BadTemplate{R"({"spec": {"hostname": "x"}})", true,
                    "spec.workers.template.spec.hostname: set by Muster"},
        BadTemplate{R"({"metadata": {"lables": {}}})", true,
                    "spec.workers.template.metadata.lables: unknown field"},
        BadTemplate{R"({"spec": {"containers": [{"name": "worker", "restartPolicy": "Always"}]}})", true,
                    "spec.containers[0].restartPolicy: must be Never"},
        BadTemplate{R"({"spec": {"containers": [{"image": "x", "env": [{"name": "MASTER_PORT"}]}]}})", false,
                    "set spec.workers.masterPort instead"},
        BadTemplate{R"({"spec": {"restartPolicy": "Always"}})", true, "restartPolicy: must be Never"},
        BadTemplate{R"({"metadata": {"labels": {"muster.dev/role": "x"}}})", true,
                    "muster.dev/role is set by Muster"},
        BadTemplate{R"({"metadata": {"labels": {"a": 1}}})", true, "metadata.labels.a: must be a string"},
        BadTemplate{R"({"spec": {"containers": [{"env": [{"name": "MUSTER_POD_IP"}]}]}})", true,
                    "spec.containers[0].env[0].name: MUSTER_POD_IP is set by Muster"},
        BadTemplate{R"({"spec": {"containers": [{"image": "x", "env": [{"name": "RANK"}]}]}})", false,
                    "RANK is set by Muster"},
        BadTemplate{R"({"spec": {"containers": [{"name": "worker"}, {"name": "side"}]}})", true,
                    "spec.containers[1].image: required"},
        BadTemplate{R"({"spec": {"containers": [{"name": "main"}]}})", false,
                    "spec.containers[0].image: required"},
        BadTemplate{R"({"spec": {"containers": [7]}})", true, "spec.containers[0]: must be an object"},
        BadTemplate{R"({"spec": {"containers": {}}})", true, "spec.containers: must be a list"},
        BadTemplate{R"({"spec": {"volumes": [{"name": "muster-credentials", "emptyDir": {}}]}})", true,
                    "spec.volumes[0].name: muster-credentials is the volume of the pod's keys"},
        BadTemplate{R"({"spec": {"volumes": {}}})", true, "spec.volumes: must be a list"},
        BadTemplate{R"({"spec": {"containers": [{"volumeMounts": {}}]}})", true,
                    "volumeMounts: must be a list"},
        BadTemplate{
            R"({"spec": {"containers": [{"volumeMounts": [{"name": "x", "mountPath": "/run/secrets/muster.dev/"}]}]}})",
            true, "spec.containers[0].volumeMounts[0].mountPath: /var/run/secrets/muster.dev is where"},
        BadTemplate{
            R"({"spec": {"containers": [{"volumeMounts": [{"name": "x", "mountPath": "/var/run/secrets/muster.dev/a"}]}]}})",
            true, "choose another"},
        BadTemplate{
            R"({"spec": {"containers": [{}, {"image": "side", "volumeMounts": [{"name": "muster-credentials"}]}]}})",
            true, "spec.containers[1].volumeMounts[0].name: muster-credentials is the volume"},
        BadTemplate{
            R"({"spec": {"initContainers": [{"image": "i", "volumeMounts": [{"name": "muster-credentials"}]}]}})",
            true, "spec.initContainers[0].volumeMounts[0].name: muster-credentials is the volume"},
        BadTemplate{R"({"spec": 5})", true, "spec.workers.template.spec: must be an object"},
        BadTemplate{R"({"spec": {}})", false, "at least one is needed, unless spec.training has a model"},
        BadTemplate{R"(null)", false, "its containers bring the program, unless spec.training has a model"}));

TEST(PodTemplateOfOurs, MayUseTheRendezvousNames) {
  const Json json = Json::parse(R"({"spec": {"containers": [{"env": [{"name": "RANK", "value": "x"}]}]}})");
  EXPECT_TRUE(api::validate_pod_template(json, "t", {.role = "worker"}));
}

TEST(PodFacts, AreReadFromAPod) {
  const Json json = Json::parse(R"({
    "metadata": {"name": "digits-worker-1", "uid": "p", "creationTimestamp": "2030-01-01T00:00:00Z",
      "labels": {"muster.dev/role": "worker", "muster.dev/index": "1", "muster.dev/incarnation": "4"},
      "ownerReferences": [{"uid": "u-1", "controller": true}]},
    "status": {"phase": "Failed", "podIP": "10.1.2.3",
      "containerStatuses": [
        {"name": "side", "state": {"terminated": {"exitCode": 3, "message": "side"}}},
        {"name": "worker", "state": {"terminated": {"exitCode": 65, "reason": "Error", "message": "no data",
          "finishedAt": "2030-01-01T00:01:00Z"}}}]}})");
  const auto pod = pod_from_json(json, "u-1");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->index, 1);
  EXPECT_EQ(pod->incarnation, 4);
  EXPECT_EQ(pod->phase, PodPhase::kFailed);
  EXPECT_EQ(pod->end->message, "no data") << "the role's container speaks for the pod";
  EXPECT_TRUE(cannot_work(*pod));
  EXPECT_EQ(end_of(*pod), "worker 1 (digits-worker-1) exited with code 65: no data");
  EXPECT_FALSE(pod_from_json(json, "u-2")) << "another object's pod";
}

TEST(PodFacts, GarbageIsToleratedNotObeyed) {
  for (const char* text :
       {"null", "7", "[]", "{}", R"({"metadata": 3})", R"({"metadata": {"ownerReferences": {}}})"})
    EXPECT_FALSE(pod_from_json(Json::parse(text), "u-1")) << text;
  const auto pod = pod_from_json(Json::parse(R"({
    "metadata": {"labels": {"muster.dev/index": "x", "muster.dev/incarnation": []}, "deletionTimestamp": 5,
      "ownerReferences": [3, {"uid": "u-1", "controller": true}]},
    "status": {"conditions": [null, 1], "containerStatuses": [null, {"state": 7}, {"state": {"terminated": []}}]}})"),
                                 "u-1");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->index, -1);
  EXPECT_EQ(pod->incarnation, 0);
}

TEST(PodFacts, WordsOfAContainerSteerNoTerminalAndKeepTheirLines) {
  const Json json = Json::parse(R"({
    "metadata": {"name": "w", "labels": {"muster.dev/role": "worker", "muster.dev/index": "0"},
      "ownerReferences": [{"uid": "u", "controller": true}]},
    "status": {"phase": "Failed", "reason": "\u001b[31mRed", "message": "a\u0007\nb", "containerStatuses": [
      {"name": "worker", "state": {"terminated": {"exitCode": 1, "message": "one\ntwo \u001b[2J\u009b31m"}}}]}})");
  const auto pod = pod_from_json(json, "u");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->reason, "?[31mRed");
  EXPECT_EQ(pod->message, "a?\nb");
  EXPECT_EQ(pod->end->message, "one\ntwo ?[2J??31m");
}

TEST(PodFacts, OnlyTheExitCodeOfTheRolesContainerIsMusters) {
  Json json = Json::parse(R"({
    "metadata": {"name": "w", "labels": {"muster.dev/role": "worker", "muster.dev/index": "0"},
      "ownerReferences": [{"uid": "u", "controller": true}]},
    "spec": {"containers": [{"name": "trainer"}, {"name": "proxy"}]},
    "status": {"phase": "Failed", "containerStatuses": [
      {"name": "proxy", "state": {"terminated": {"exitCode": 65}}},
      {"name": "trainer", "state": {"terminated": {"exitCode": 0}}}]}})");
  auto pod = pod_from_json(json, "u");
  EXPECT_EQ(fate_of(*pod), PodFate::kSucceeded) << "a sidecar means what it likes";
  json["status"]["containerStatuses"][1]["state"]["terminated"]["exitCode"] = 74;
  pod = pod_from_json(json, "u");
  EXPECT_TRUE(cannot_work(*pod)) << "without a container named after the role, the first carries it";
  EXPECT_EQ(end_of(*pod), "worker 0 (w) exited with code 74");
}

TEST(PodFacts, InitContainersTellWhyAPodWaitsAndWhyItFailed) {
  Json json = Json::parse(R"({
    "metadata": {"name": "w", "labels": {"muster.dev/role": "worker", "muster.dev/index": "0"},
      "ownerReferences": [{"uid": "u", "controller": true}]},
    "status": {"phase": "Pending",
      "initContainerStatuses": [{"name": "fetch", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}],
      "containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "PodInitializing"}}}]}})");
  EXPECT_EQ(pod_from_json(json, "u")->reason, "ImagePullBackOff");
  json["status"]["phase"] = "Failed";
  json["status"]["initContainerStatuses"][0]["state"] = {
      {"terminated", {{"exitCode", 65}, {"message", "no such bucket"}}}};
  auto pod = pod_from_json(json, "u");
  EXPECT_EQ(end_of(*pod), "worker 0 (w) container fetch exited with code 65: no such bucket");
  EXPECT_FALSE(cannot_work(*pod));
  json["status"]["containerStatuses"][0]["state"] = {{"terminated", {{"exitCode", 1}}}};
  EXPECT_EQ(end_of(*pod_from_json(json, "u")), "worker 0 (w) exited with code 1");
}

struct Fate {
  const char* status;
  PodFate fate;
};
class FateOf : public ::testing::TestWithParam<Fate> {};

TEST_P(FateOf, FollowsTheRules) {
  const Json json{{"metadata", {{"ownerReferences", Json::array({{{"uid", "u"}, {"controller", true}}})}}},
                  {"status", Json::parse(GetParam().status)}};
  EXPECT_EQ(fate_of(*pod_from_json(json, "u")), GetParam().fate);
}
INSTANTIATE_TEST_SUITE_P(
    Rules, FateOf,
    ::testing::Values(
        Fate{R"({"phase": "Pending"})", PodFate::kAlive}, Fate{R"({"phase": "Running"})", PodFate::kAlive},
        Fate{R"({"phase": "Succeeded"})", PodFate::kSucceeded},
        Fate{R"({"phase": "Failed"})", PodFate::kFailed},
        Fate{
            R"({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "})",
            PodFate::kDisrupted},
        Fate{R"({"phase": "Failed", "reason": "Evicted",
                "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "})",
             PodFate::kFailed},
        Fate{R"({"phase": "Failed", "reason": "Evicted", "message":
                "Pod was rejected: The node had condition: [DiskPressure]. "})",
             PodFate::kDisrupted},
        Fate{
            R"({"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume \"x\" exceeds the limit \"1Gi\". "})",
            PodFate::kFailed},
        Fate{R"({"phase": "Failed", "reason": "Evicted",
                "message": "Container x exceeded its local ephemeral storage limit \"1Gi\". "})",
             PodFate::kFailed},
        Fate{R"({"phase": "Running", "containerStatuses":
                [{"state": {"terminated": {"exitCode": 255, "reason": "Unknown"}}}]})",
             PodFate::kDisrupted},
        Fate{R"({"phase": "Failed", "containerStatuses":
                [{"state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}}]})",
             PodFate::kDisrupted},
        Fate{R"({"phase": "Failed", "reason": "OutOfnvidia.com/gpu"})", PodFate::kDisrupted},
        Fate{R"({"phase": "Failed", "reason": "TopologyAffinityError"})", PodFate::kDisrupted},
        Fate{R"({"phase": "Failed", "reason": "DeadlineExceeded"})", PodFate::kFailed},
        Fate{R"({"phase": "Running", "conditions": [{"type": "DisruptionTarget", "status": "True"}]})",
             PodFate::kDisrupted},
        Fate{
            R"({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. ",
                "containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]})",
            PodFate::kDisrupted}));

}  // namespace
}  // namespace muster::op::testing
