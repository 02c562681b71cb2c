#pragma once  // tests/operator/core/in_place_fixture.h: the operator's decisions and muster-exec's, held
              // against each other
#include <gmock/gmock.h>

#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster_model.h"
#include "exec/machine.h"

namespace muster::op::testing {

inline std::string name_of(std::int64_t index) { return "digits-worker-" + std::to_string(index); }

inline JobBuilder in_place() {
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
      if (std::holds_alternative<exec::KillAll>(effect)) end(uid, 137);
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

}  // namespace muster::op::testing
