// tests/pod/control_proto_test.cc: messages of version 0.1.0, byte for byte, as later versions must read
// them, and what counts as the same assignment
#include <gtest/gtest.h>

#include <functional>
#include <string_view>

#include "pod/assignment_difference.h"

namespace muster {
namespace {

using control::v1::AgentStatus;
using control::v1::Assignment;
using namespace std::string_view_literals;

// Written by 0.1.0. A field's number and type never change; a field that is no longer written stays reserved.
constexpr auto kStatus =
    "\x08\x03\x10\x03\x1a\x01m\x22\x0f\x08\x01\x10\x07\x18\x09\x21\0\0\0\0\0\0\xe0\x3f"sv;
constexpr auto kAssignment =
    "\x0a\x01n\x12\x01x\x1a\x03u-1\x20\x02\x2a\x16\x08\x01\x12\x0a\x0a\x03p-1\x1a\x03"
    "a:1\x1a\x02{}\x22\x02{}"sv;

TEST(ControlProto, AStatusOfTheFirstVersionIsRead) {
  AgentStatus status;
  ASSERT_TRUE(status.ParseFromArray(kStatus.data(), static_cast<int>(kStatus.size())));
  EXPECT_EQ(status.membership(), 3);
  EXPECT_EQ(status.phase(), control::v1::PHASE_RUNNING);
  EXPECT_EQ(status.message(), "m");
  EXPECT_EQ(status.worker().rank(), 1);
  EXPECT_EQ(status.worker().step(), 7);
  EXPECT_EQ(status.worker().total_steps(), 9);
  EXPECT_EQ(status.worker().epoch(), 0.5);
}

TEST(ControlProto, AnAssignmentOfTheFirstVersionIsRead) {
  Assignment made;
  ASSERT_TRUE(made.ParseFromArray(kAssignment.data(), static_cast<int>(kAssignment.size())));
  EXPECT_EQ(made.namespace_(), "n");
  EXPECT_EQ(made.name(), "x");
  EXPECT_EQ(made.uid(), "u-1");
  EXPECT_EQ(made.membership(), 2);
  EXPECT_EQ(made.worker().rank(), 1);
  ASSERT_EQ(made.worker().roster_size(), 1);
  EXPECT_EQ(made.worker().roster(0).pod_uid(), "p-1");
  EXPECT_EQ(made.worker().roster(0).address(), "a:1");
}

Assignment worker() {
  Assignment made;
  made.set_uid("u");
  made.set_membership(2);
  made.mutable_worker()->set_rank(1);
  made.mutable_worker()->add_roster()->set_pod_uid("p-0");
  made.mutable_worker()->add_roster()->set_pod_uid("p-1");
  made.set_spec(
      R"({"training": {"model": {"name": "cnn"}, "dataset": {"name": "fashion-mnist", "path": "/d"}}})");
  return made;
}

TEST(AssignmentDifference, ThereIsNoneInWhatMeansTheSame) {
  EXPECT_FALSE(difference(worker(), worker()));
  Assignment again = worker();
  again.set_spec(
      R"({"training": {"dataset": {"name": "fashion-mnist", "path": "/d"}, "model": {"name": "cnn"}, "batchSize": 64,
          "seed": 0}, "security": {"encryptTraffic": false}, "synchronization": {"topology": "Ring"}})");
  EXPECT_FALSE(difference(worker(), again)) << "a default that is written out, in another order";
  again = worker();
  again.set_pod_uid("p-1");
  EXPECT_FALSE(difference(worker(), again)) << "an operator of the next version names the pod";
  std::string bytes = worker().SerializeAsString() + "\xfa\x3e\x01z";  // field 1007, which nobody knows
  ASSERT_TRUE(again.ParseFromString(bytes));
  EXPECT_FALSE(difference(worker(), again)) << "an operator of the next version says more";
}

TEST(AssignmentDifference, NamesTheFieldAndNotItsValue) {
  const auto changed = [](const std::function<void(control::v1::WorkerAssignment&)>& change) {
    Assignment again = worker();
    change(*again.mutable_worker());
    return difference(worker(), again).value_or("none");
  };
  EXPECT_EQ(changed([](auto& part) { part.set_rank(0); }), "worker.rank");
  EXPECT_EQ(changed([](auto& part) { part.mutable_roster(1)->set_pod_uid("s3cr3t"); }),
            "worker.roster[1].pod_uid");
  EXPECT_EQ(changed([](auto& part) { part.mutable_roster()->RemoveLast(); }), "worker.roster[1]");
}

TEST(AssignmentDifference, NamesTheFieldOfTheSpec) {
  const auto with = [](const std::string& model, const std::string& more) {
    return R"({"training": {"model": )" + model + R"(, "dataset": {"name": "csv", "path": "/d"}})" + more +
           "}";
  };
  const std::string cnn = R"({"name": "cnn"})";
  const auto changed = [](Assignment taken, const std::string& one, const std::string& other) {
    Assignment again = taken;
    taken.set_spec(one);
    again.set_spec(other);
    return difference(taken, again).value_or("none");
  };
  EXPECT_EQ(changed(worker(), with(cnn, ""), with(R"({"name": "mlp"})", "")), "spec.training.model.name");
  EXPECT_EQ(
      changed(worker(), with(R"({"name": "mlp", "hidden": [200]})", ""), with(R"({"name": "mlp"})", "")),
      "none");
  EXPECT_EQ(changed(worker(), with(cnn, ""), with(cnn, R"(, "security": {"encryptTraffic": true})")),
            "spec.security.encryptTraffic");
  EXPECT_EQ(changed(worker(), with(cnn, R"(, "synchronization": {"timeoutSeconds": 9})"), with(cnn, "")),
            "spec.synchronization.timeoutSeconds");
  EXPECT_EQ(changed(worker(), with(cnn, ""), with(cnn, R"(, "compression": {"lowRank": 2})")),
            "spec.compression.lowRank");
  EXPECT_EQ(
      changed(
          worker(), with(cnn, R"(, "synchronization": {"topology": "Gossip"})"),
          with(cnn, R"(, "synchronization": {"topology": "Gossip", "gossip": {"graph": "RandomPairs"}})")),
      "spec.synchronization.gossip");
  EXPECT_EQ(changed(worker(), with(cnn, ""), with(cnn, R"(, "later": 1)")), "spec")
      << "what this program cannot read is not passed over";
  EXPECT_EQ(changed(worker(), with(cnn, ""), "no JSON"), "spec");
  EXPECT_EQ(changed(worker(), "no JSON", "nor this"), "spec");
  EXPECT_EQ(changed(worker(), "no JSON", "no JSON"), "none");

  Assignment aggregator;
  aggregator.mutable_aggregator();
  Assignment client;
  client.mutable_client();
  const auto round = [](const std::string& cohort, const std::string& clients) {
    return R"({"rounds": 1, "cohort": {"size": 1)" + cohort + R"(}, "clients": {"count": 9)" + clients +
           R"(}, "training": {"model": {"name": "cnn"}, "dataset": {"name": "csv", "path": "/d"}}})";
  };
  for (const Assignment& one : {aggregator, client}) {
    EXPECT_EQ(changed(one, round("", ""), round(R"(, "minimum": 1)", R"(, "perPod": 25)")), "none");
    EXPECT_EQ(changed(one, round("", ""), round("", R"(, "perPod": 3)")), "spec.clients.perPod");
    EXPECT_EQ(changed(one, round("", ""), round(R"(, "maxExamplesPerClient": 5)", "")),
              "spec.cohort.maxExamplesPerClient");
  }
}

}  // namespace
}  // namespace muster
