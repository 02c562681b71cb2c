// tests/operator/core/history_test.cc: what operator/core/history promises
#include "operator/core/history.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/base/rfc3339.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

ClusterModel finishing(Json object) {
  ClusterModel cluster(std::move(object));
  cluster.keeps_history = true;
  return cluster;
}

void end_all(ClusterModel& cluster) {
  std::vector<std::string> names;
  for (const auto& [name, pod] : cluster.pods) names.push_back(name);
  for (const std::string& name : names) cluster.end_pod(name, 0);
}

TEST(History, TellsOfAJobThatHasSucceeded) {
  ClusterModel cluster =
      finishing(job()
                    .plain()
                    .workers(2)
                    .set("/spec/workers/template",
                         Json::parse(R"({"spec": {"containers": [{"name": "worker", "image": "w:1",
                                                "resources": {"limits": {"nvidia.com/gpu": 2}}}]}})"))
                    .json());
  cluster.bring_up();
  cluster.advance(100s);
  end_all(cluster);
  cluster.settle();
  ASSERT_TRUE(cluster.is("Succeeded"));
  ASSERT_EQ(cluster.history.size(), 1U);
  const auto& [key, record] = *cluster.history.begin();
  const std::string uid = cluster.object["metadata"]["uid"];
  EXPECT_EQ(key, "digits." + uid);
  EXPECT_EQ(record["kind"], "DistributedJob");
  EXPECT_EQ(record["name"], "digits");
  EXPECT_EQ(record["uid"], uid);
  EXPECT_EQ(record["result"], "Succeeded");
  EXPECT_EQ(record["reason"], cluster.condition("Succeeded")->reason);
  EXPECT_EQ(record["pods"], 2);
  EXPECT_EQ(record["image"], "w:1");
  EXPECT_EQ(record["resources"]["limits"]["nvidia.com/gpu"], 2);
  EXPECT_GE(record["seconds"], 100);
  EXPECT_EQ(record["ended"], cluster.object["status"]["completionTime"]);
  EXPECT_FALSE(record.contains("message")) << "that of a success tells nothing new";
  EXPECT_LE(record.dump().size(), 2048U);
}

const Json kServed =
    Json::parse(R"({"topology": "ParameterServer", "parameterServers": {"shards": 3, "template":
    {"spec": {"containers": [{"name": "server", "resources": {"requests": {"memory": "64Gi"}}}]}}}})");

TEST(History, CountsServersAndTellsWhatTheyHad) {
  ClusterModel cluster = finishing(job().workers(2).set("/spec/synchronization", kServed).json());
  cluster.defaults.worker_image = "muster-worker:1";
  cluster.bring_up();
  end_all(cluster);
  cluster.settle();
  ASSERT_EQ(cluster.history.size(), 1U);
  const Json& record = cluster.history.begin()->second;
  EXPECT_EQ(record["pods"], 5);
  EXPECT_EQ(record["image"], "muster-worker:1");
  EXPECT_EQ(record["roles"],
            Json::parse(R"({"server": {"pods": 3, "resources": {"requests": {"memory": "64Gi"}}}})"));
}

TEST(History, OfARoundCountsTheAggregatorAndThePodsOfClients) {
  ClusterModel cluster = finishing(federated_round(4, 2));
  cluster.object["spec"]["suspend"] = false;
  cluster.object["spec"]["nonsense"] = 1;
  cluster.settle();
  ASSERT_EQ(cluster.history.size(), 1U);
  EXPECT_FALSE(cluster.history.begin()->second.contains("pods"))
      << "which a spec that cannot be read does not tell";
  ClusterModel runs = finishing(federated_round(4, 2));
  runs.bring_up();
  runs.end_pod("phones-client-0", 65, "no data");
  runs.end_pod("phones-client-1", 65, "no data");
  runs.settle();
  ASSERT_EQ(runs.history.size(), 1U);
  EXPECT_EQ(runs.history.begin()->second["pods"], 3);
  EXPECT_EQ(runs.history.begin()->second["roles"]["client"]["pods"], 2);
}

TEST(History, IsWrittenOnceAndBeforeTheStatusThatEndsTheObject) {
  ClusterModel cluster = finishing(job().plain().workers(2).json());
  cluster.bring_up();
  end_all(cluster);
  cluster.now += 1s;
  const Decision last = cluster.decide();
  ASSERT_GE(last.actions.size(), 2U);
  const auto at = [&](auto type) {
    return std::find_if(last.actions.begin(), last.actions.end(),
                        [&](const Action& action) { return std::holds_alternative<decltype(type)>(action); });
  };
  ASSERT_NE(at(RecordHistory{}), last.actions.end());
  EXPECT_LT(at(RecordHistory{}), at(PatchStatus{}));
  cluster.apply(*at(RecordHistory{}));  // and the operator dies
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
  EXPECT_EQ(cluster.history.size(), 1U) << "the same key again";
  const int writes = cluster.history_writes;
  cluster.settle();
  EXPECT_EQ(cluster.history_writes, writes) << "a second pass writes nothing";
}

TEST(History, ARefusalHoldsNoEndUp) {
  ClusterModel cluster = finishing(job().plain().workers(1).json());
  cluster.history_refused = true;
  cluster.bring_up();
  end_all(cluster);
  cluster.settle();
  EXPECT_TRUE(cluster.is("Succeeded"));
}

ClusterModel ended_while_history_is_refused() {
  ClusterModel cluster =
      finishing(job().plain().workers(1).set("/spec/runPolicy/ttlSecondsAfterFinished", 60).json());
  cluster.history_refused = true;
  cluster.bring_up();
  end_all(cluster);
  cluster.settle();
  return cluster;
}

TEST(History, IsWrittenAgainBeforeTheTtlDeletesTheObject) {
  ClusterModel cluster = ended_while_history_is_refused();
  EXPECT_THAT(cluster.history, IsEmpty());
  cluster.advance(70s);
  cluster.settle();
  EXPECT_FALSE(cluster.object_deleted) << "the right may be given back";
  cluster.history_refused = false;
  cluster.settle();
  EXPECT_TRUE(cluster.object_deleted);
  EXPECT_EQ(cluster.history.size(), 1U);
}

TEST(History, PutsTheTtlOffForABoundedTime) {
  ClusterModel cluster = ended_while_history_is_refused();
  cluster.advance(60s + 11min);
  cluster.settle();
  EXPECT_TRUE(cluster.object_deleted);
}

TEST(History, KeepsWhatASpecThatCannotWorkSays) {
  ClusterModel cluster = finishing(job().plain().workers(1).set("/spec/nonsense", 1).json());
  cluster.settle();
  ASSERT_EQ(cluster.history.size(), 1U);
  EXPECT_EQ(cluster.history.begin()->second["reason"], "InvalidSpec");
}

TEST(History, TellsOfTheLastWordOnASpecThatWasEdited) {
  ClusterModel cluster = finishing(job().plain().workers(1).set("/spec/nonsense", 1).json());
  cluster.settle();
  cluster.object["spec"].erase("nonsense");
  cluster.object["spec"]["folly"] = 1;
  cluster.object["metadata"]["generation"] = 2;
  cluster.settle();
  ASSERT_EQ(cluster.history.size(), 1U);
  EXPECT_THAT(cluster.history.begin()->second["message"].get<std::string>(), ::testing::HasSubstr("folly"));
}

TEST(History, IsOffUnlessAskedFor) {
  ClusterModel cluster(job().plain().workers(1).json());
  cluster.bring_up();
  end_all(cluster);
  cluster.settle();
  EXPECT_EQ(cluster.history_writes, 0);
}

TEST(History, StaysSmallWhateverTheObjectHolds) {
  Json limits = Json::object();
  for (int i = 0; i < 1000; ++i) limits["example.com/device-" + std::to_string(i)] = "1";
  api::JobStatus status;
  api::Condition failed;
  failed.type = "Failed";
  failed.status = true;
  failed.reason = "X";
  failed.message = std::string(100'000, 'x');
  api::set_condition(status.conditions, failed, WallTime{});
  status.progress = {{"loss", 0.5}, {"warnings", std::string(100'000, 'x')}};
  const Json pod_template{{"spec",
                           {{"containers", Json::array({{{"name", "w"},
                                                         {"image", std::string(100'000, 'i')},
                                                         {"resources", {{"limits", limits}}}}})}}}};
  api::ObjectMeta meta;
  meta.name = std::string(50, 'n');
  meta.uid = std::string(36, 'u');
  const Json record =
      history_record(meta, "DistributedJob", status,
                     {.roles = {{.role = "worker", .count = 1, .pod_template = &pod_template},
                                {.role = "server", .count = 1, .pod_template = &pod_template}}});
  EXPECT_LE(record.dump().size(), 2048U);
  EXPECT_EQ(record["progress"], Json({{"loss", 0.5}}));
}

std::string ended_at(WallTime when) { return Json{{"ended", rfc3339(when)}}.dump(); }

TEST(ExcessRecords, AreTheOldestAndATenthMore) {
  const WallTime now = clock_time(1'000'000'000);
  Json data{{"notes", "a person's"}, {"broken", "{"}};
  for (int i = 0; i < 20; ++i)
    data["r" + std::to_string(100 + i)] = ended_at(now - std::chrono::hours(100 - i));
  const HistoryLimits limits{.records_max = 20, .age_max = std::chrono::hours(1000)};
  EXPECT_THAT(excess_records(data, limits, now), IsEmpty());
  data["r200"] = ended_at(now);
  EXPECT_THAT(excess_records(data, limits, now), ElementsAre("r100", "r101", "r102"));
}

TEST(ExcessRecords, AreThoseThatAreTooOld) {
  const WallTime now = clock_time(1'000'000'000);
  const Json data{{"old", ended_at(now - 49h)}, {"new", ended_at(now - 47h)}};
  EXPECT_THAT(excess_records(data, {.records_max = 10, .age_max = 48h}, now), ElementsAre("old"));
}

TEST(ExcessRecords, LeaveRoomInAnObjectOfTheApi) {
  const WallTime now = clock_time(1'000'000'000);
  Json data{{"notes", std::string(700'000, 'x')}};
  for (int i = 0; i < 90; ++i) {
    const std::string text = Json{
        {"ended", rfc3339(now - std::chrono::hours(100 - i))},
        {"message",
         std::string(1000, 'm')}}.dump();
    data["r" + std::to_string(100 + i)] = text;
  }
  const auto excess = excess_records(data, {.records_max = 300, .age_max = 1000h}, now);
  EXPECT_GT(excess.size(), 3U);
  EXPECT_LT(excess.size(), 30U);
  EXPECT_EQ(excess.front(), "r100");
  EXPECT_THAT(excess_records(Json(), {.records_max = 1}, now), IsEmpty());
}

}  // namespace
}  // namespace muster::op::testing
