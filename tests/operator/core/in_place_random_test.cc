// tests/operator/core/in_place_random_test.cc: seeded lives of a job whose commands start again in their pods
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "in_place_fixture.h"
#include "operator/core/incarnation.h"
#include "tests/support/from_environment.h"

namespace muster::op::testing {
namespace {

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

  [[nodiscard]] std::string sight() const {  // for a life that fails
    std::string text = cluster_.object["status"].dump() + "\n";
    for (const auto& [name, pod] : cluster_.pods) {
      const std::string uid = cluster_.uid_of(name);
      const auto inside = inside_.find(uid);
      const auto agent = cluster_.agents.find(uid);
      text += fmt::format(
          "{} {} {} {} runs {}: {}\n", name, uid, pod["status"].value("phase", ""),
          pod["metadata"].contains("deletionTimestamp") ? "leaves" : "stays",
          inside == inside_.end() || !inside->second.command ? -1 : inside->second.command->membership,
          agent == cluster_.agents.end() ? "nothing" : agent->second.ShortDebugString());
    }
    return text;
  }

  std::map<std::string, std::int64_t> done_in_;  // memberships in which commands ended with 0, by pod uid
};

// Whatever fails or ends, and when: commands of two memberships never run side by side (see `act`), and in
// the end all of one run.
TEST_F(InPlaceRandom, EndsWithAllCommandsOfOneMembership) {
  const auto seed = static_cast<unsigned>(from_environment("MUSTER_SEED", std::random_device{}()));
  SCOPED_TRACE(fmt::format("MUSTER_SEED={}", seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 15; ++round) {
    for (int i = 0; i < 40; ++i) something_happens(random);
    cluster_.silent.clear();
    stubborn_.clear();
    for (auto& [uid, pod] : inside_)  // those who were deaf when they were asked to end
      if (pod.machine) act(uid, pod, pod.machine->tick(Instant{} + exec::kGrace));
    for (int i = 0; i < 6; ++i) {
      cluster_.advance(std::chrono::minutes(6));  // past every pause between attempts
      come_back();
    }
    const std::int64_t replicas = cluster_.object["spec"]["workers"]["replicas"];
    const std::vector<std::int64_t> all = runs();
    const api::JobStatus status = cluster_.status();
    ASSERT_EQ(std::ssize(all) + std::ssize(status.succeeded_ranks), replicas) << sight();
    for (const api::RosterMember& member : status.roster)
      if (is_done(status, member.index)) {
        ASSERT_EQ(done_in_[member.uid], status.membership);
      }
    for (const std::int64_t membership : all) ASSERT_EQ(membership, cluster_.status().membership) << sight();
    ASSERT_EQ(cluster_.status().phase, "Running");
  }
}

}  // namespace
}  // namespace muster::op::testing
