// tests/operator/core/api_test.cc: typed resources, conditions, times and patches
#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/base/rfc3339.h"
#include "operator/api/distributed_job.h"
#include "operator/api/federated_round.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(Time, IsReadInEveryFormThatServersWrite) {
  const WallTime expected = *parse_rfc3339("2030-02-03T04:05:06Z");
  EXPECT_EQ(rfc3339(expected), "2030-02-03T04:05:06Z");
  EXPECT_EQ(parse_rfc3339("2030-02-03T04:05:06.250Z"), expected + 250ms);
  EXPECT_EQ(parse_rfc3339("2030-02-03T06:05:06+02:00"), expected);
  EXPECT_EQ(parse_rfc3339("2030-02-03T03:05:06-01:00"), expected);
  for (const char* bad : {"", "2030", "2030-02-03", "2030-13-03T04:05:06Z", "2030-02-03T04:05:06",
                          "2030-02-03 04:05:06Z", "xxxx-02-03T04:05:06Z", "2030-02-03T04:05:06+0x:00"})
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
}

TEST(Conditions, TransitionTimeMovesOnlyWhenTheStatusChanges) {
  const WallTime start = *parse_rfc3339("2030-01-01T00:00:00Z");
  api::Conditions conditions;
  const auto set = [&](bool status, const char* reason, WallTime now) {
    api::set_condition(conditions,
                       {.type = "Running",
                        .status = status,
                        .observed_generation = 1,
                        .last_transition = {},
                        .reason = reason,
                        .message = {}},
                       now);
  };
  set(false, "Waiting", start);
  set(false, "StillWaiting", start + 5s);
  ASSERT_EQ(conditions.size(), 1U);
  EXPECT_EQ(conditions[0].reason, "StillWaiting");
  EXPECT_EQ(conditions[0].last_transition, start);
  set(true, "Up", start + 9s);
  EXPECT_EQ(conditions[0].last_transition, start + 9s);
  EXPECT_EQ(api::conditions_from_json(api::to_json(conditions)), conditions);
}

TEST(MergePatch, TurnsOneStatusIntoTheOther) {
  const Json from = Json::parse(R"({"a": 1, "gone": 2, "in": {"x": 1, "y": [1]}, "list": [1, 2]})");
  const Json to = Json::parse(R"({"a": 1, "in": {"x": 2, "y": [1]}, "list": [1], "new": {"k": 0}})");
  const Json patch = api::merge_patch(from, to);
  EXPECT_EQ(patch, Json::parse(R"({"gone": null, "in": {"x": 2}, "list": [1], "new": {"k": 0}})"));
  Json landed = from;
  landed.merge_patch(patch);
  EXPECT_EQ(landed, to);
  EXPECT_TRUE(api::merge_patch(to, to).empty());
}

TEST(Status, SurvivesTheRoundTripThroughJson) {
  ClusterModel cluster(federated_round(4, 2));
  cluster.bring_up();
  cluster.end_pod("phones-client-1", 1);
  cluster.settle();
  const api::JobStatus status = cluster.status();
  EXPECT_EQ(status.pod_attempts.size(), 1U);
  EXPECT_EQ(api::status_from_json(api::to_json(status)), status);
}

TEST(Status, GarbageIsReadAsAbsent) {
  for (const char* text :
       {"null", "[]", "7", R"({"conditions": {}, "restarts": "x", "podAttempts": [1], "progress": 3})"})
    EXPECT_EQ(api::status_from_json(Json::parse(text)).restarts, 0) << text;
}

struct BadJob {
  const char* pointer;
  const char* value;
  const char* complaint;
};
class BadJobs : public ::testing::TestWithParam<BadJob> {};

TEST_P(BadJobs, AreRefusedWithTheFieldsPath) {
  const Json object = job().set(GetParam().pointer, Json::parse(GetParam().value)).json();
  const auto read = api::distributed_job_from_json(object);
  ASSERT_TRUE(read);
  ASSERT_FALSE(read->spec);
  EXPECT_THAT(read->spec.error().message, HasSubstr(GetParam().complaint));
}
INSTANTIATE_TEST_SUITE_P(
    Specs, BadJobs,
    ::testing::Values(
        BadJob{"/spec/workers/replicas", "-1", "spec.workers.replicas: must be at least 0, is -1"},
        BadJob{"/spec/workers/replica", "2", "spec.workers.replica: unknown field"},
        BadJob{"/spec/suspend", "\"yes\"", "spec.suspend: must be true or false"},
        BadJob{"/spec/training/model/name", "\"vgg\"", "spec.training.model.name: \"vgg\" is not supported"},
        BadJob{"/spec/training/dataset/path", "\"\"", "spec.training.dataset.path"},
        BadJob{"/spec/synchronization", "{\"topology\": \"Star\"}",
               "use one of: Auto, Ring, HalvingDoubling, Tree, AllToAll, Direct"},
        BadJob{"/spec/security", "{\"encryptTraffic\": \"yes\"}",
               "spec.security.encryptTraffic: must be true"},
        BadJob{"/spec", R"({"security": {"encryptTraffic": true}, "workers": {"template": {}}})",
               "spec.security.encryptTraffic: encrypts the connections of Muster's own workers"},
        BadJob{"/spec/runPolicy", "{\"cleanPodPolicy\": \"Some\"}", "spec.runPolicy.cleanPodPolicy"},
        BadJob{"/spec/workers/sharedMemory", "\"eight\"", "spec.workers.sharedMemory: eight is no quantity"},
        BadJob{"/spec/runPolicy", "[]", "spec.runPolicy: must be an object, is array"},
        BadJob{"/spec/training", "7", "spec.training: must be an object"},
        BadJob{"/spec", "\"x\"", "spec: must be an object"}));

TEST(Meta, WithoutAUidIsAnError) {
  EXPECT_FALSE(api::distributed_job_from_json(Json::parse(R"({"metadata": {"name": "x"}})")));
  EXPECT_FALSE(api::distributed_job_from_json(Json::parse("[]")));
  EXPECT_FALSE(api::federated_round_from_json(Json::parse("null")));
}

TEST(FederatedRoundSpec, TooManyClientPodsAreRefused) {
  const auto read = api::federated_round_from_json(federated_round(5000, 1));
  ASSERT_FALSE(read->spec);
  EXPECT_THAT(read->spec.error().message, HasSubstr("5000 pods, more than 1000; raise perPod"));
}

}  // namespace
}  // namespace muster::op::testing
