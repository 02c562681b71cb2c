// tests/operator/core/in_place_test.cc: the operator's decisions and muster-exec's, held against each other
#include "operator/core/in_place.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <random>

#include "cluster_model.h"
#include "exec/machine.h"
#include "operator/core/incarnation.h"
#include "pod/pod_contract.h"

namespace muster::op::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string name_of(std::int64_t index) { return "digits-worker-" + std::to_string(index); }

JobBuilder in_place() {
  return job()
      .plain()
      .set("/spec/runPolicy/restart", "InPlace")
      .set("/spec/workers/template/spec/containers/0/command", Json::array({"train"}));
}

// A job of three pods. In each that runs is the machine of muster-exec, whose command obeys SIGTERM at once,
// unless it is `stubborn_`.
class InPlace : public ::testing::Test {
 protected:
  explicit InPlace(const Json& object = in_place().workers(3).max_restarts(2).json()) : cluster_(object) {
    bring_up();
    for (const auto& [name, pod] : cluster_.pods) uids_[name] = cluster_.uid_of(name);
  }

  struct PodInside {
    std::unique_ptr<exec::Machine> machine;
    std::optional<exec::Start> command;  // that runs
  };

  void bring_up() {
    settle();
    cluster_.start_pods();
    settle();
  }

  void settle() {
    for (int i = 0; i < 60; ++i) {
      cluster_.now += std::chrono::seconds(1);
      const bool moved = follow();
      if (cluster_.pass() == 0 && !moved && !follow()) return;
    }
  }

  // Each muster-exec takes its assignment and tells its status, by the bytes that would go over the wire.
  bool follow() {
    bool moved = false;
    std::erase_if(inside_, [this](const auto& each) { return !cluster_.agents.contains(each.first); });
    for (auto& [uid, agent] : cluster_.agents) {
      PodInside& pod = inside_[uid];
      if (!pod.machine) pod.machine = std::make_unique<exec::Machine>("job-uid", uid, Instant{});
      if (const auto given = cluster_.assignments.find(uid);
          given != cluster_.assignments.end() && !cluster_.silent.contains(uid))
        take(uid, pod, given->second);
      control::v1::AgentStatus told;
      EXPECT_TRUE(told.ParseFromString(exec::write_status(pod.machine->told())));
      moved = moved || told.SerializeAsString() != agent.SerializeAsString();
      agent = std::move(told);
    }
    return moved;
  }

  void take(const std::string& uid, PodInside& pod, const control::v1::Assignment& given) {
    const auto read = exec::read_assignment(given.SerializeAsString());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(read->for_exec);
    const auto effects = pod.machine->assign(*read, Instant{});
    if (effects) act(uid, pod, *effects);
  }

  void act(const std::string& uid, PodInside& pod, const std::vector<exec::Effect>& effects) {
    for (const exec::Effect& effect : effects) {
      if (const auto* start = std::get_if<exec::Start>(&effect)) {
        EXPECT_FALSE(pod.command) << "one runs already";
        // Nothing of another membership runs anywhere: it would meet the new ones at their rendezvous.
        for (const auto& [other, inside] : inside_)
          EXPECT_EQ(inside.command.value_or(*start).membership, start->membership) << other;
        pod.command = *start;
      }
      const auto* signal = std::get_if<exec::Pass>(&effect);
      if (signal != nullptr && signal->number == SIGTERM && !stubborn_.contains(uid)) end(uid, 143);
    }
  }

  void end(const std::string& uid, int code, const std::string& words = "") {
    if (!inside_.contains(uid)) return;  // it has not been looked at yet
    PodInside& pod = inside_.at(uid);
    if (!pod.command) return;
    pod.command.reset();
    act(uid, pod, pod.machine->ended(code, words, Instant{}));
  }
  // The command of the worker fails by itself.
  void fail_command(std::int64_t index, int code, const std::string& words = "") {
    end(cluster_.uid_of(name_of(index)), code, words);
    follow();
  }
  void end_pod(std::int64_t index, int code) {
    inside_.erase(cluster_.uid_of(name_of(index)));
    cluster_.end_pod(name_of(index), code);
  }
  // What is on its way out is gone, and what is to come is there.
  void come_back() {
    settle();
    cluster_.finish_deletions();
    settle();
    cluster_.start_pods();
    settle();
  }

  [[nodiscard]] std::vector<std::int64_t> runs() const {  // memberships, in order of the pods
    std::vector<std::int64_t> all;
    for (const auto& [name, pod] : cluster_.pods) {
      const auto inside = inside_.find(cluster_.uid_of(name));
      if (inside != inside_.end() && inside->second.command)
        all.push_back(inside->second.command->membership);
    }
    return all;
  }
  [[nodiscard]] std::string env(std::int64_t index, const std::string& name) const {
    for (const auto& [key, value] : inside_.at(cluster_.uid_of(name_of(index))).command->environment)
      if (key == name) return value;
    return "(none)";
  }
  [[nodiscard]] bool kept(std::int64_t index) const {
    const auto pod = cluster_.pods.find(name_of(index));
    return pod != cluster_.pods.end() && cluster_.uid_of(name_of(index)) == uids_.at(name_of(index)) &&
           !pod->second["metadata"].contains("deletionTimestamp");
  }
  [[nodiscard]] std::string event(const std::string& reason) const {
    std::string message;
    for (const EmitEvent& each : cluster_.events)
      if (each.reason == reason) message = each.message;
    return message;
  }
  void edit(const std::string& pointer, Json value) {
    cluster_.object[Json::json_pointer(pointer)] = std::move(value);
    cluster_.object["metadata"]["generation"] = cluster_.object["metadata"]["generation"].get<int>() + 1;
    cluster_.touch(cluster_.object);
  }

  ClusterModel cluster_;
  std::map<std::string, PodInside> inside_;  // by pod uid
  std::set<std::string> stubborn_;           // uids of pods whose commands heed no SIGTERM
  std::map<std::string, std::string> uids_;
};

class InPlaceStandstill : public InPlace {
 protected:
  InPlaceStandstill()
      : InPlace(in_place().workers(3).set("/spec/runPolicy/progressDeadlineSeconds", 600).json()) {}
};

TEST_F(InPlace, AllCommandsStartOnceAllPodsAnswer) {
  EXPECT_THAT(runs(), ElementsAre(1, 1, 1));
  EXPECT_EQ(cluster_.status().phase, "Running");
  EXPECT_EQ(env(2, "RANK"), "2");
  EXPECT_EQ(env(2, "WORLD_SIZE"), "3");
  EXPECT_EQ(env(2, "MASTER_ADDR"), "digits-worker-0.digits");
  EXPECT_EQ(env(2, "MUSTER_MEMBERSHIP"), "1");
  EXPECT_FALSE(cluster_.secrets.empty());
}

TEST_F(InPlace, ThePodStartsTheCommandByMusterExec) {
  const Json& spec = cluster_.pods.at(name_of(1))["spec"];
  EXPECT_EQ(spec["initContainers"][0]["args"], Json::array({"install", kExecFolder}));
  EXPECT_EQ(spec["initContainers"][0]["image"], "muster-exec:" MUSTER_VERSION);
  EXPECT_EQ(spec["containers"][0]["command"],
            Json::array({"/var/run/muster.dev/exec/muster-exec", "--keys", kExecKeysFolder, "--", "train"}));
  const Json& metadata = cluster_.pods.at(name_of(1))["metadata"];
  EXPECT_EQ(metadata["annotations"]["muster.dev/exec-ca"], cluster_.ca);
  EXPECT_FALSE(metadata["labels"].contains("muster.dev/ca")) << "its ports are the user's own";
}

TEST_F(InPlace, ACommandThatFailsStartsAllAgainInTheSamePods) {
  fail_command(1, 137, "out of memory");
  cluster_.pass();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().membership, 2);
  EXPECT_EQ(cluster_.status().phase, "Restarting");
  EXPECT_THAT(runs(), ElementsAre(1, 1)) << "the status comes first";
  settle();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().phase, "Running");
  EXPECT_EQ(cluster_.status().restarts, 1);
  for (const int index : {0, 1, 2}) EXPECT_TRUE(kept(index));
  EXPECT_THAT(event("RestartingInPlace"),
              HasSubstr("worker 1 (digits-worker-1) exited with code 137 (SIGKILL)"));
  EXPECT_THAT(event("RestartingInPlace"), HasSubstr("restart 1 of 2"));
  EXPECT_THAT(event("RestartingInPlace"), HasSubstr("out of memory"));
}

TEST_F(InPlace, NoneStartsBeforeAllHaveEnded) {
  stubborn_.insert(cluster_.uid_of(name_of(0)));
  fail_command(1, 1);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1)) << "the one that heeds no SIGTERM";
  end(cluster_.uid_of(name_of(0)), 137);
  settle();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().restarts, 1) << "it was asked to end";
}

TEST_F(InPlace, FailuresOfOneMembershipCountOnce) {
  for (const int index : {0, 1, 2}) fail_command(index, 1);
  settle();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
}

TEST_F(InPlace, TheJobFailsOnceTheRestartsAreUsedUp) {
  for (int i = 0; i < 3; ++i) {
    fail_command(0, 1);
    cluster_.advance(std::chrono::seconds(60));
    settle();
  }
  EXPECT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "MaxRestartsExceeded");
  EXPECT_EQ(cluster_.status().restarts, 2);
}

TEST_F(InPlace, APodThatIsLostIsMadeAnewAndTheOthersStay) {
  cluster_.evict(name_of(1));
  inside_.erase(cluster_.uid_of(name_of(1)));
  cluster_.agents.erase(cluster_.uid_of(name_of(1)));
  settle();
  EXPECT_THAT(runs(), IsEmpty()) << "the others have ended what ran, and wait";
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_EQ(cluster_.status().restarts, 0);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_TRUE(kept(0) && kept(2));
  EXPECT_FALSE(kept(1));
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().disruptions, 1) << "once";
}

TEST_F(InPlace, APodThatFailsCountsAndIsMadeAnew) {
  end_pod(2, 137);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_FALSE(kept(2));
}

TEST_F(InPlace, APodThatIsGoneWithoutAWordIsMissed) {
  cluster_.agents.erase(cluster_.uid_of(name_of(1)));
  cluster_.pods.erase(name_of(1));
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_TRUE(kept(0) && kept(2));
}

TEST_F(InPlace, AChangeOfReplicasKeepsThePodsThatStay) {
  edit("/spec/workers/replicas", 4);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2, 2));
  EXPECT_EQ(env(0, "WORLD_SIZE"), "4");
  for (const int index : {0, 1, 2}) EXPECT_TRUE(kept(index));
  edit("/spec/workers/replicas", 2);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(3, 3));
  EXPECT_EQ(env(1, "WORLD_SIZE"), "2");
  EXPECT_EQ(cluster_.pods.size(), 2U);
  EXPECT_EQ(cluster_.status().restarts + cluster_.status().disruptions, 0);
}

TEST_F(InPlace, OneThatIsDoneRunsAgainWhenAnotherFails) {
  end_pod(0, 0);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1, 1)) << "the others go on";
  fail_command(1, 1);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_FALSE(kept(0));
  for (const int index : {0, 1, 2}) end_pod(index, 0);
  settle();
  EXPECT_TRUE(cluster_.is("Succeeded"));
}

// A kubelet tells the end of a pod a second or two late: by then another membership may be decided.
TEST_F(InPlace, AnEndWithZeroThatIsToldLateIsOfThePast) {
  fail_command(1, 1);
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  end_pod(0, 0);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_FALSE(kept(0));
  EXPECT_TRUE(kept(1) && kept(2));
  EXPECT_THAT(cluster_.status().succeeded_ranks, IsEmpty());
}

TEST_F(InPlace, AnEndWithZeroThatIsToldLateKeepsNobodyWaitingForALostPod) {
  cluster_.evict(name_of(2));
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  end_pod(0, 0);
  come_back();
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_FALSE(kept(0));
  EXPECT_TRUE(kept(1));
}

TEST_F(InPlaceStandstill, OneThatIsDoneRunsAgainWhenTheOthersStandStill) {
  cluster_.object["status"]["progress"] = {{"percent", 10}};
  end_pod(0, 0);
  settle();
  EXPECT_THAT(runs(), ElementsAre(1, 1));
  cluster_.advance(std::chrono::seconds(700));
  come_back();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
}

TEST_F(InPlace, ANewOperatorChangesNothing) {
  for (auto& [uid, agent] : cluster_.agents) agent = {};
  cluster_.agents.clear();
  const int writes = cluster_.status_writes;
  EXPECT_EQ(cluster_.pass(), 0U);
  EXPECT_EQ(cluster_.status_writes, writes);
  EXPECT_EQ(cluster_.status().phase, "Running");
}

class InPlaceRules : public InPlace {
 protected:
  static Json with_rules() {
    const auto rule = [](const char* action, int code) {
      return Json{{"action", action}, {"onExitCodes", {{"operator", "In"}, {"values", Json::array({code})}}}};
    };
    return in_place()
        .workers(3)
        .set("/spec/runPolicy/failurePolicy/rules", Json::array({rule("FailJob", 42), rule("RestartJob", 43),
                                                                 rule("RestartPod", 44), rule("Ignore", 45)}))
        .json();
  }
  InPlaceRules() : InPlace(with_rules()) {}
};

TEST_F(InPlaceRules, FailTheJobAlsoByACommandThatFailedSecond) {
  fail_command(1, 1);
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  EXPECT_FALSE(cluster_.is("Failed"));
  fail_command(0, 42);  // what has ended the other, told a moment later
  cluster_.pass();
  EXPECT_TRUE(cluster_.is("Failed"));
  EXPECT_EQ(cluster_.condition("Failed")->reason, "FailurePolicy");
}

TEST_F(InPlaceRules, CountAFailureOnceThatIsToldInTwo) {
  fail_command(1, 1);
  cluster_.pass();
  ASSERT_EQ(cluster_.status().membership, 2);
  fail_command(0, 43);
  come_back();
  EXPECT_EQ(cluster_.status().incarnation, 2) << "all pods are made anew";
  EXPECT_EQ(cluster_.status().restarts, 1);
}

TEST_F(InPlaceRules, MakeAllPodsAnew) {
  fail_command(1, 43);
  come_back();
  EXPECT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  for (const int index : {0, 1, 2}) EXPECT_FALSE(kept(index));
}

TEST_F(InPlaceRules, MakeThePodAnew) {
  fail_command(1, 44);
  come_back();
  EXPECT_EQ(cluster_.status().incarnation, 1);
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_TRUE(kept(0) && kept(2));
  EXPECT_FALSE(kept(1));
}

TEST_F(InPlaceRules, DoNotCount) {
  fail_command(1, 45);
  settle();
  EXPECT_EQ(cluster_.status().restarts, 0);
  EXPECT_EQ(cluster_.status().disruptions, 1);
  EXPECT_THAT(runs(), ElementsAre(2, 2, 2));
  EXPECT_TRUE(kept(1));
}

class InPlaceRandom : public InPlace {
 protected:
  InPlaceRandom() : InPlace(in_place().workers(3).max_restarts(1'000'000).json()) {}

  void something_happens(std::mt19937& random) {
    const auto index = static_cast<std::int64_t>(random() % 5);
    const auto pod = cluster_.pods.find(name_of(index));
    const bool here = pod != cluster_.pods.end();
    const std::string uid = here ? cluster_.uid_of(name_of(index)) : "";
    const bool lives = here && cluster_.agents.contains(uid);
    switch (random() % 11) {
      case 0:
      case 1:
        if (lives) fail_command(index, 1 + static_cast<int>(random() % 100));
        break;
      case 2:
        if (lives) end_pod(index, 1);
        break;
      case 3:
        if (lives) cluster_.evict(name_of(index));
        break;
      case 4: edit("/spec/workers/replicas", 1 + static_cast<int>(random() % 5)); break;
      case 5:
        if (lives && !stubborn_.erase(uid)) stubborn_.insert(uid);
        break;
      case 6:
        if (lives && !cluster_.silent.erase(uid)) cluster_.silent.insert(uid);
        break;
      case 10:  // never the last one: the job goes on
        if (lives && inside_.contains(uid) && inside_.at(uid).command && runs().size() > 1) {
          done_in_[uid] = inside_.at(uid).command->membership;
          end_pod(index, 0);
        }
        break;
      case 7: cluster_.finish_deletions(); break;
      case 8: cluster_.start_pods(); break;
      default:
        if (lives) end(uid, 143);
        break;
    }
    std::erase_if(inside_, [this](const auto& each) { return !cluster_.agents.contains(each.first); });
    if (random() % 2 == 0) follow();
    cluster_.now += std::chrono::seconds(random() % 3);
    for (auto passes = random() % 3; passes > 0; --passes) cluster_.pass();
  }

  std::map<std::string, std::int64_t> done_in_;  // memberships in which commands ended with 0, by pod uid
};

// Whatever fails or ends, and when: commands of two memberships never run side by side (see `act`), and in
// the end all of one run.
TEST_F(InPlaceRandom, EndsWithAllCommandsOfOneMembership) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 15; ++round) {
    for (int i = 0; i < 40; ++i) something_happens(random);
    cluster_.silent.clear();
    for (const std::string& uid : std::exchange(stubborn_, {}))
      if (inside_.contains(uid)) end(uid, 137);
    for (int i = 0; i < 6; ++i) {
      cluster_.advance(std::chrono::minutes(6));  // past every pause between attempts
      come_back();
    }
    const std::int64_t replicas = cluster_.object["spec"]["workers"]["replicas"];
    const std::vector<std::int64_t> all = runs();
    const api::JobStatus status = cluster_.status();
    ASSERT_EQ(std::ssize(all) + std::ssize(status.succeeded_ranks), replicas) << status.phase;
    for (const api::RosterMember& member : status.roster)
      if (is_done(status, member.index)) {
        ASSERT_EQ(done_in_[member.uid], status.membership);
      }
    for (const std::int64_t membership : all) ASSERT_EQ(membership, cluster_.status().membership);
    ASSERT_EQ(cluster_.status().phase, "Running");
  }
}

}  // namespace
}  // namespace muster::op::testing
