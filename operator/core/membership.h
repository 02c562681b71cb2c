#pragma once  // operator/core/membership.h: who is a member of a training: the next roster, if there is to be
              // one
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "operator/api/status.h"

namespace muster::op {

// A pod that lives, so far as the cluster tells, as its Agent shows it.
struct Candidate {
  enum class State {
    kUnknown,  // nothing is told, or it is of another membership
    kStarting,
    kWorks,   // in the present membership: so all of its members have begun
    kBroken,  // it has lost a peer and waits for its next assignment
    kEnding,  // its program has failed; the cluster will tell how
  };
  std::int64_t index = 0;
  std::string uid{};
  State state = State::kUnknown;
  bool answers = false;
  // For how long it has told this, or has not answered; nullopt: nobody asks it.
  std::optional<WallTime> since{};
  std::optional<std::int64_t> blames{};  // kBroken: the rank that it lost
};

enum class ServersBeside {
  kSame,     // as in the present membership, or the training has none
  kChanged,  // some are others
  kAwaited,  // not all are there: no membership is formed without them
};

struct MembershipView {
  const std::vector<api::RosterMember>& roster;  // of the present membership, in order of rank; empty: none
  std::int64_t holders = 0;                      // its first ranks, which hold the state
  std::vector<Candidate> live;                   // sorted by index
  std::int64_t replicas = 0;
  std::optional<std::int64_t> minimum{};  // as the spec has it
  ServersBeside servers = ServersBeside::kSame;
  WallTime now{};
};

struct MembershipPlan {
  enum class Turn {
    kStay,
    kNext,        // `roster` is the next membership
    kNobodyLeft,  // of those who hold the state: all begin anew
  };
  Turn turn = Turn::kStay;
  std::vector<api::RosterMember> roster{};  // survivors first, in their order of rank, then those who join
  std::int64_t holders = 0;
  std::optional<WallTime> look_at{};  // when to decide anew, though nothing is heard
};

// So few may work on: `minimum`, but no more than are wanted; 1 where the spec is silent, since whatever is
// trained while a replacement starts need not be trained afterwards.
[[nodiscard]] std::int64_t members_needed(std::int64_t replicas, std::optional<std::int64_t> minimum);

// Members that are gone, and those above `replicas`, are left out; others are taken in once they answer. A
// mesh that is broken, or whose parameter servers are others, is formed anew, without the one that is blamed
// unless it shows that it lives.
// Survivors are taken for well until they have been silent for a while: they are told at once.
[[nodiscard]] MembershipPlan plan_membership(const MembershipView& view);

}  // namespace muster::op
