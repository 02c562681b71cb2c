// operator/core/membership.cc: the next roster of a training
#include "operator/core/membership.h"

#include <algorithm>
#include <chrono>

#include "common/base/check.h"

namespace muster::op {
namespace {

using State = Candidate::State;
using Turn = MembershipPlan::Turn;

// For one that is blamed to show that it lives: one round trip, or a handshake of TLS on a busy machine.
constexpr auto kBlamePatience = std::chrono::milliseconds(300);
// For a member of a new roster to answer. It is taken in again as soon as it does.
constexpr auto kSilencePatience = std::chrono::seconds(2);
// Between two memberships of the same members: a mesh that breaks again and again is not formed at full
// speed.
constexpr auto kReformPause = std::chrono::seconds(1);
// Those who come within it join together: each change of a membership interrupts a step.
constexpr auto kJoinWindow = std::chrono::seconds(5);
// For the rest to come, when enough are there for the first membership, and the spec says how many are.
constexpr auto kLastCall = std::chrono::seconds(30);

class Planner {
 public:
  explicit Planner(const MembershipView& view) : view_(view) {}

  MembershipPlan plan() {
    for (const api::RosterMember& member : view_.roster) {
      const Candidate* found = find(member.uid);
      if (found == nullptr) continue;
      if (found->state == State::kEnding)
        ending_ = true;
      else
        kept_.push_back(found);
    }
    broken_ = std::ranges::any_of(kept_, [](const Candidate* each) { return each->state == State::kBroken; });
    works_ = !broken_ &&
             std::ranges::any_of(kept_, [](const Candidate* each) { return each->state == State::kWorks; });
    if (!judge_blamed()) return stay();
    drop_silent();
    if (view_.roster.empty()) return first();
    return next();
  }

 private:
  [[nodiscard]] const Candidate* find(const std::string& uid) const {
    const auto found =
        std::ranges::find_if(view_.live, [&uid](const Candidate& each) { return each.uid == uid; });
    return found == view_.live.end() ? nullptr : &*found;
  }
  [[nodiscard]] bool is_member(const Candidate& candidate) const {
    return std::ranges::any_of(view_.roster, [&](const auto& each) { return each.uid == candidate.uid; });
  }
  [[nodiscard]] bool is_wanted(const Candidate& each) const { return each.index < view_.replicas; }

  // Whether it is that late; if not, looks then.
  bool is_due(WallTime when) {
    if (view_.now >= when) return true;
    plan_.look_at = std::min(plan_.look_at.value_or(when), when);
    return false;
  }

  MembershipPlan stay() { return std::move(plan_); }

  // Those that are blamed, and do not answer, are left out. False while that is not known.
  bool judge_blamed() {
    std::vector<const Candidate*> silent;
    bool known = true;
    for (const Candidate* each : kept_) {
      if (each->state != State::kBroken || !each->blames) continue;
      if (*each->blames < 0 || *each->blames >= std::ssize(view_.roster)) continue;
      const Candidate* blamed = find(view_.roster[static_cast<std::size_t>(*each->blames)].uid);
      if (blamed == nullptr || blamed->state == State::kBroken) continue;
      if (!is_due(each->since.value_or(WallTime{}) + kBlamePatience))
        known = false;
      else if (!blamed->answers)
        silent.push_back(blamed);
    }
    if (known)
      std::erase_if(kept_, [&](const Candidate* each) { return std::ranges::count(silent, each) > 0; });
    return known;
  }

  // Of a membership that is not at work; but not all: then it is rather we who hear nothing.
  void drop_silent() {
    if (works_ || std::ranges::none_of(kept_, [](const Candidate* each) { return each->answers; })) return;
    std::erase_if(kept_, [&](const Candidate* each) {
      return !each->answers && each->since && is_due(*each->since + kSilencePatience);
    });
  }

  std::vector<const Candidate*> joiners() {
    std::vector<const Candidate*> found;
    for (const Candidate& each : view_.live) {
      if (is_wanted(each) && !is_member(each) && each.answers && each.state != State::kEnding)
        found.push_back(&each);
    }
    return found;
  }

  // How many of the pods that are wanted are still to come.
  [[nodiscard]] std::int64_t to_come(std::int64_t joining) const {
    return view_.replicas - std::ranges::count_if(kept_, [this](auto* each) { return is_wanted(*each); }) -
           joining;
  }

  MembershipPlan first() {
    std::vector<const Candidate*> joining = joiners();
    const std::int64_t here = std::ssize(joining);
    if (here == 0 || view_.servers == ServersBeside::kAwaited) return stay();
    if (to_come(here) > 0) {
      if (!view_.minimum || here < members_needed(view_.replicas, view_.minimum)) return stay();
      std::vector<WallTime> came;
      came.reserve(joining.size());
      for (const Candidate* each : joining) came.push_back(each->since.value_or(view_.now));
      std::ranges::sort(came);
      const std::int64_t needed = members_needed(view_.replicas, view_.minimum);
      MUSTER_CHECK(needed >= 1 && needed <= std::ssize(came));
      if (!is_due(came[static_cast<std::size_t>(needed - 1)] + kLastCall)) return stay();
    }
    add(joining);
    plan_.turn = Turn::kNext;
    return stay();
  }

  // Members whose pods are not wanted leave, if one that holds the state stays.
  void drop_surplus() {
    const std::int64_t holders = works_ ? std::ssize(view_.roster) : view_.holders;
    const bool one_stays = std::ranges::any_of(
        kept_, [&](const Candidate* each) { return is_wanted(*each) && holds(*each, holders); });
    if (one_stays) std::erase_if(kept_, [this](const Candidate* each) { return !is_wanted(*each); });
  }

  // Before anything was trained nobody needs a state.
  [[nodiscard]] bool holds(const Candidate& each, std::int64_t holders) const {
    if (holders <= 0) return true;  // below 0: a status that somebody else has written
    const auto end = view_.roster.begin() + std::min<std::int64_t>(holders, std::ssize(view_.roster));
    return std::any_of(view_.roster.begin(), end, [&](const auto& member) { return member.uid == each.uid; });
  }

  MembershipPlan next() {
    const std::int64_t holders = works_ ? std::ssize(view_.roster) : view_.holders;
    if (std::ranges::none_of(kept_, [&](auto* each) { return holds(*each, holders); })) {
      if (!ending_) plan_.turn = Turn::kNobodyLeft;
      return stay();
    }
    if (view_.servers == ServersBeside::kAwaited) return stay();
    drop_surplus();
    const std::vector<const Candidate*> joining = joiners();
    const bool fewer = kept_.size() != view_.roster.size();
    const bool joins = !joining.empty() && (fewer || they_may_join(joining));
    const bool others = view_.servers == ServersBeside::kChanged;
    if (!fewer && !joins && !others && !(broken_ && may_form_again())) return stay();
    add(kept_);
    if (holders > 0)
      plan_.holders = std::ranges::count_if(kept_, [&](auto* each) { return holds(*each, holders); });
    if (joins) add(joining);
    plan_.turn = Turn::kNext;
    return stay();
  }

  bool may_form_again() {
    WallTime first = WallTime::max();
    for (const Candidate* each : kept_)
      if (each->state == State::kBroken) first = std::min(first, each->since.value_or(WallTime{}));
    return is_due(first + kReformPause);
  }

  bool they_may_join(const std::vector<const Candidate*>& joining) {
    if (to_come(std::ssize(joining)) <= 0 || broken_) return true;
    if (std::ssize(kept_) < members_needed(view_.replicas, view_.minimum)) return true;
    const auto came = [this](const Candidate* each) { return each->since.value_or(view_.now); };
    return is_due(came(*std::ranges::min_element(joining, {}, came)) + kJoinWindow);
  }

  void add(const std::vector<const Candidate*>& members) {
    for (const Candidate* each : members) plan_.roster.push_back({.index = each->index, .uid = each->uid});
  }

  const MembershipView& view_;
  MembershipPlan plan_;
  std::vector<const Candidate*> kept_;  // members that stay, in order of rank
  bool broken_ = false;
  bool works_ = false;
  bool ending_ = false;
};

}  // namespace

std::int64_t members_needed(std::int64_t replicas, std::optional<std::int64_t> minimum) {
  return std::min(minimum.value_or(1), replicas);
}

// Whatever stands in a status, which others can write: a next membership has members, of whom some hold the
// state if any did, and nothing else names members.
MembershipPlan plan_membership(const MembershipView& view) {
  MUSTER_CHECK(std::ranges::is_sorted(view.live, {}, &Candidate::index));
  MembershipPlan plan = Planner(view).plan();
  MUSTER_CHECK(plan.roster.empty() == (plan.turn != Turn::kNext));
  MUSTER_CHECK(plan.holders >= 0 && plan.holders <= std::ssize(plan.roster));
  MUSTER_CHECK(plan.turn != Turn::kNext || view.roster.empty() || view.holders <= 0 || plan.holders > 0);
  return plan;
}

}  // namespace muster::op
