// tests/cli/log_absence_test.cc: what cli/log_absence promises
#include "cli/log_absence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using ::testing::HasSubstr;

Json job(const std::string& phase) {
  Json object{{"kind", "DistributedJob"},
              {"metadata", {{"name", "ring"}, {"namespace", "n"}}},
              {"spec", {{"workers", {{"replicas", 4}}}}},
              {"status", {{"phase", phase}}}};
  object["status"]["conditions"] = Json::array({{{"type", "PodsReady"},
                                                 {"status", "False"},
                                                 {"reason", "Unschedulable"},
                                                 {"message", "worker 2: 0/3 nodes are available"}}});
  if (phase == "Succeeded" || phase == "Failed")
    object["status"]["conditions"].push_back({{"type", phase}, {"status", "True"}});
  return object;
}

Json round() {
  return {{"kind", "FederatedRound"},
          {"metadata", {{"name", "phones"}}},
          {"spec", {{"clients", {{"count", 100}, {"perPod", 30}}}}}};
}

TEST(LogAbsence, SaysWhatKeepsARankFromHavingAPod) {
  EXPECT_EQ(why_no_pods(job("Pending"), {.rank = 2, .role = ""}),
            "ring's worker 2 has no pod yet: Unschedulable: worker 2: 0/3 nodes are available");
  EXPECT_EQ(why_no_pods(job("Pending"), {.rank = 4, .role = ""}),
            "ring has 4 pods with role worker: there is no rank 4");
  EXPECT_EQ(why_no_pods(job("Suspended"), {.rank = 2, .role = ""}),
            "ring has no pods: Unschedulable: worker 2: 0/3 nodes are available")
      << "it was not spec.suspend";
  Json suspended = job("Suspended");
  suspended["spec"]["suspend"] = true;
  EXPECT_EQ(why_no_pods(suspended, {.rank = 2, .role = ""}),
            "ring is suspended and has no pods; `muster resume ring` lets it go on");
  EXPECT_EQ(why_no_pods(job("Succeeded"), {.rank = 2, .role = ""}),
            "the logs of ring's worker 2 went with the pods: it has succeeded; with runPolicy.cleanPodPolicy "
            "None they "
            "stay");
  EXPECT_EQ(why_no_pods(job("Pending"), {.rank = {}, .role = "client"}),
            "ring is a DistributedJob, which has no pod with role client; see `muster status ring`");
}

TEST(LogAbsence, NamesWhoManagesTheObject) {
  Json elsewhere = job("");
  elsewhere["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue";
  EXPECT_THAT(why_no_pods(elsewhere, {.rank = 0, .role = ""}),
              HasSubstr("managed by kueue.x-k8s.io/multikueue"));
}

TEST(LogAbsence, KnowsParameterServers) {
  EXPECT_FALSE(may_have_pod(job("Pending"), {.rank = 0, .role = "server"}));
  Json served = job("Pending");
  served["spec"]["synchronization"] = {{"topology", "ParameterServer"},
                                       {"parameterServers", {{"shards", 2}}}};
  EXPECT_TRUE(may_have_pod(served, {.rank = 1, .role = "server"}));
  EXPECT_THAT(why_no_pods(served, {.rank = 2, .role = "server"}),
              HasSubstr("2 pods with role server: there is no rank 2"));
  served["spec"]["synchronization"].erase("parameterServers");
  EXPECT_TRUE(may_have_pod(served, {.rank = 0, .role = "server"}));
}

TEST(LogAbsence, KnowsTheRolesOfAFederation) {
  EXPECT_TRUE(may_have_pod(round(), {.rank = 0, .role = ""}));
  EXPECT_FALSE(may_have_pod(round(), {.rank = 1, .role = ""}));
  EXPECT_TRUE(may_have_pod(round(), {.rank = 3, .role = "client"}));
  EXPECT_FALSE(may_have_pod(round(), {.rank = 4, .role = "client"}));
  EXPECT_THAT(why_no_pods(round(), {.rank = 1, .role = ""}),
              HasSubstr("1 pod with role aggregator: there is no rank 1"));
  EXPECT_THAT(why_no_pods(round(), {.rank = {}, .role = "client"}),
              HasSubstr("phones's clients have no pod yet; the operator has not seen it yet"));
}

TEST(LogAbsence, OutlivesObjectsOfAnyForm) {
  EXPECT_FALSE(why_no_pods(Json(), {}).empty());
  EXPECT_FALSE(why_no_pods({{"status", {{"conditions", 3}}}}, {.rank = 1, .role = "worker"}).empty());
}

}  // namespace
}  // namespace muster::cli
