// tests/operator/core/simulation_test.cc: seeded lives of objects under faults, held against what must always
// be true
//
// Goal: no order of crashes, stale caches, lost or refused writes, pod deaths and changes of the spec leads
// to two pods of one rank, to an uncounted or double counted restart, or to an object that never ends.
// Method: a few hundred steps of chaos, then calm; MUSTER_SEED replays one life, MUSTER_LIVES runs more of
// them.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "cluster_model.h"
#include "common/base/random.h"
#include "tests/support/from_environment.h"

namespace muster::op::testing {
namespace {

constexpr int kChaosSteps = 250;
constexpr int kCalmSteps = 600;
constexpr int kMaxRestarts = 3;

struct Caches {  // what the operator believes; each lags behind the server on its own
  Json object;
  std::map<std::string, Json> pods;
};

class Life {
 public:
  Life(std::uint64_t seed, Json object) : random_(seed), cluster_(std::move(object)) { refresh(); }

  void live() {
    for (int step = 0; step < kChaosSteps && !::testing::Test::HasFailure(); ++step) {
      chaos();
      check();
    }
    cluster_.object["spec"]["suspend"] = false;
    for (int step = 0; step < kCalmSteps && !::testing::Test::HasFailure(); ++step) {
      if (calm()) return;
      check();
    }
    ADD_FAILURE() << "never ended: " << cluster_.object.dump(2);
  }

  [[nodiscard]] const ClusterModel& cluster() const { return cluster_; }
  [[nodiscard]] int failures() const { return failures_; }

 private:
  [[nodiscard]] bool one_in(std::uint64_t n) { return random_.below(n) == 0; }

  void refresh() { caches_ = {cluster_.object, cluster_.pods}; }

  // The operator: judges by its caches; may die after any action, or have an answer lost.
  void operate(bool faults) {
    if (faults) {
      if (one_in(2)) caches_.object = cluster_.object;
      if (one_in(2)) caches_.pods = cluster_.pods;
      if (one_in(20)) {  // killed and started anew: a fresh list, no memory
        cluster_.last_status_write.reset();
        cluster_.credentials.clear();
        cluster_.sightings.clear();
        refresh();
      }
    } else {
      refresh();
    }
    const Decision decision = cluster_.decide(caches_.object, caches_.pods);
    for (const Action& action : decision.actions) {
      if (faults && one_in(12)) return;     // dead, or refused by the server
      if (!cluster_.apply(action)) return;  // conflict
      if (std::holds_alternative<PatchStatus>(action) && !one_in(3)) caches_.object = cluster_.object;
      if (faults && one_in(25)) return;  // done, but the answer was lost
    }
  }

  std::string any_pod() {
    if (cluster_.pods.empty()) return {};
    auto pod = cluster_.pods.begin();
    std::advance(pod, static_cast<long>(random_.below(cluster_.pods.size())));
    return pod->first;
  }

  [[nodiscard]] bool runs(const std::string& pod) const {
    return !pod.empty() && cluster_.pods.at(pod)["status"]["phase"] == "Running";
  }

  void chaos() {
    cluster_.now += std::chrono::milliseconds(random_.below(4000));
    operate(true);
    if (one_in(3)) cluster_.start_pods();
    if (one_in(3)) cluster_.agents_follow();
    if (one_in(4)) cluster_.finish_deletions();
    if (const std::string pod = any_pod(); runs(pod) && one_in(25)) {
      const int codes[] = {1, 75, 137, 139};
      cluster_.end_pod(pod, codes[random_.below(4)]);
      ++failures_;
    }
    if (const std::string pod = any_pod(); runs(pod) && one_in(60) && may_succeed()) cluster_.end_pod(pod, 0);
    if (const std::string pod = any_pod(); runs(pod) && one_in(60)) cluster_.evict(pod);
    if (const std::string pod = any_pod(); !pod.empty() && one_in(60)) cluster_.delete_pod(pod);
    if (const std::string pod = any_pod(); !pod.empty() && one_in(200)) cluster_.pods.erase(pod);
    if (one_in(80)) change_spec("suspend", !cluster_.object["spec"].value("suspend", false));
    if (cluster_.object["kind"] == "DistributedJob" && one_in(100)) {
      cluster_.object["spec"]["workers"]["replicas"] = 1 + random_.below(5);
      touch_spec();
    }
  }

  void change_spec(const char* field, bool value) {
    cluster_.object["spec"][field] = value;
    touch_spec();
  }
  void touch_spec() {
    Json& metadata = cluster_.object["metadata"];
    metadata["generation"] = metadata["generation"].get<int>() + 1;
    metadata["resourceVersion"] = metadata["resourceVersion"].get<std::string>() + "s";
  }

  // No faults: pods start, agents work, configured pods succeed. True when the object has ended and rests.
  bool calm() {
    cluster_.now += std::chrono::seconds(5);
    operate(false);
    cluster_.start_pods();
    cluster_.finish_deletions();
    cluster_.agents_follow();
    const api::JobStatus status = cluster_.status();
    const bool plain =
        cluster_.object["kind"] == "DistributedJob" && !cluster_.object["spec"].contains("training");
    for (const auto& [uid, agent] : std::map(cluster_.agents)) {
      const std::string pod = pod_of(uid);
      if (pod.empty() || !runs(pod)) continue;
      if (plain && status.phase == "Running") cluster_.end_pod(pod, 0);
      if (plain || agent.membership() != status.membership) continue;
      const bool leads =
          cluster_.object["kind"] == "DistributedJob" || pod.find("aggregator") != std::string::npos;
      if (leads && everybody_configured(status.membership)) cluster_.end_pod(pod, 0);
    }
    if (!status.finished()) return false;
    for (int i = 0; i < 5; ++i) {
      operate(false);
      cluster_.finish_deletions();
    }
    EXPECT_EQ(cluster_.pass(), 0U) << "a second pass over the landed result";
    return true;
  }

  [[nodiscard]] std::string pod_of(const std::string& uid) const {
    for (const auto& [name, pod] : cluster_.pods)
      if (pod["metadata"]["uid"] == uid) return name;
    return {};
  }

  [[nodiscard]] bool may_succeed() const {
    const bool ring =
        cluster_.object["kind"] == "DistributedJob" && cluster_.object["spec"].contains("training");
    return !ring || everybody_configured(cluster_.status().membership);
  }

  static std::vector<std::string> addresses_of(const control::v1::WorkerAssignment& worker) {
    std::vector<std::string> addresses;
    for (const auto& member : worker.roster()) addresses.push_back(member.address());
    return addresses;
  }

  // As a real ring: nobody finishes unless all members were told of the same membership, and of the same
  // roster.
  [[nodiscard]] bool everybody_configured(std::int64_t membership) const {
    std::set<std::vector<std::string>> rosters;
    const std::vector<api::RosterMember> roster = cluster_.status().roster;
    for (const auto& [name, pod] : cluster_.pods) {
      const std::string uid = pod["metadata"]["uid"];
      const bool joins = !roster.empty() && pod["metadata"]["labels"]["muster.dev/role"] == "worker" &&
                         std::ranges::find(roster, uid, &api::RosterMember::uid) == roster.end();
      if (pod["status"]["phase"] == "Succeeded" || joins) continue;  // who joins has no part in it yet
      const auto told = cluster_.assignments.find(uid);
      if (told == cluster_.assignments.end() || told->second.membership() != membership) return false;
      if (told->second.has_worker()) rosters.insert(addresses_of(told->second.worker()));
    }
    EXPECT_LE(rosters.size(), 1U) << "members of one membership were told different rosters";
    return true;
  }

  void check() {
    std::map<std::string, int> live;
    for (const auto& [name, pod] : cluster_.pods) {
      const Json& labels = pod["metadata"]["labels"];
      if (pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed") continue;
      const int count = ++live[labels["muster.dev/role"].get<std::string>() +
                               labels["muster.dev/index"].get<std::string>()];
      EXPECT_EQ(count, 1) << "two live pods are " << name;
    }
    const api::JobStatus status = cluster_.status();
    EXPECT_LE(status.restarts, kMaxRestarts);
    EXPECT_LE(status.restarts, failures_) << "more restarts counted than pods failed";
    EXPECT_GE(status.incarnation, last_.incarnation);
    EXPECT_GE(status.restarts, last_.restarts);
    EXPECT_GE(status.disruptions, last_.disruptions);
    EXPECT_FALSE(api::is_true(status.conditions, "Succeeded") && api::is_true(status.conditions, "Failed"));
    if (last_.finished()) {
      EXPECT_EQ(status.phase, last_.phase) << "terminal is final";
      EXPECT_EQ(status.completion_time, last_.completion_time);
      EXPECT_EQ(status.restarts, last_.restarts);
    }
    for (const auto& [uid, assignment] : cluster_.assignments) {
      if (!assignment.has_worker()) continue;
      const std::vector<std::string> addresses = addresses_of(assignment.worker());
      EXPECT_LT(assignment.worker().rank(), std::ssize(addresses));
      EXPECT_EQ(std::set(addresses.begin(), addresses.end()).size(), addresses.size()) << "a peer twice";
    }
    check_servers(status);
    last_ = status;
  }

  // In one incarnation each part has been somewhere all the time: of a server that begins anew, with the next
  // one, which was there before.
  void check_servers(const api::JobStatus& status) const {
    const auto& now = status.servers;
    const auto& before = last_.servers;
    const bool lost = [&now] {
      for (std::size_t at = 0; at < now.size(); ++at) {
        const api::ServerMember& next = now[(at + 1) % now.size()];
        if ((now[at].uid.empty() || now[at].anew) && (next.uid.empty() || next.anew)) return true;
      }
      return false;
    }();
    EXPECT_FALSE(lost) << "a part of the parameters is with nobody";
    if (status.incarnation != last_.incarnation || now.size() != before.size()) return;
    for (std::size_t at = 0; at < now.size(); ++at)
      EXPECT_TRUE(now[at].uid == before[at].uid || now[at].uid.empty() || now[at].anew)
          << "server " << at << " is another pod, and nobody knows";
  }

  Random random_;
  ClusterModel cluster_;
  Caches caches_;
  api::JobStatus last_;
  int failures_ = 0;
};

void live_many(const Json& object) {
  const std::uint64_t only = from_environment("MUSTER_SEED", 0);
  const std::uint64_t lives = from_environment("MUSTER_LIVES", 30);
  std::map<std::string, int> ends;
  for (std::uint64_t seed = only == 0 ? 1 : only; seed <= (only == 0 ? lives : only); ++seed) {
    SCOPED_TRACE("MUSTER_SEED=" + std::to_string(seed));
    Life life(seed, object);
    life.live();
    if (::testing::Test::HasFailure()) {
      std::printf("failed with MUSTER_SEED=%llu\n", static_cast<unsigned long long>(seed));
      return;
    }
    ends[life.cluster().status().phase] += 1;
  }
  EXPECT_TRUE(only != 0 || lives < 30 || ends["Succeeded"] >= 5)
      << "the chaos is too deadly to tell anything";
  std::printf("seeds 1 to %llu: %d succeeded, %d failed\n", static_cast<unsigned long long>(lives),
              ends["Succeeded"], ends["Failed"]);
}

TEST(Simulation, DistributedJobsSurviveChaos) {
  live_many(job().workers(3).max_restarts(kMaxRestarts).json());
}

TEST(Simulation, TrainingsWithParameterServersSurviveChaos) {
  for (const int shards : {1, 2, 4})
    live_many(job()
                  .workers(3)
                  .max_restarts(kMaxRestarts)
                  .set("/spec/synchronization",
                       {{"topology", "ParameterServer"}, {"parameterServers", {{"shards", shards}}}})
                  .json());
}

TEST(Simulation, JobsOfPlainContainersSurviveChaos) {
  Json object = job().workers(3).max_restarts(kMaxRestarts).plain().json();
  live_many(object);
}

TEST(Simulation, FederatedRoundsSurviveChaos) {
  Json object = federated_round(6, 2);
  object["spec"]["runPolicy"]["maxRestarts"] = kMaxRestarts;
  live_many(object);
}

}  // namespace
}  // namespace muster::op::testing
