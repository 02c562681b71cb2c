// tests/operator/core/membership_test.cc: rosters and what becomes of them, as a table
//
// A roster is a list of pods by index, `0 1 2`; `*` follows the last one that holds the state. A pod that
// lives is its index and what it says: `w` it works, `s` it starts, `b2` it is broken and blames rank 2, `e`
// its program has failed, `n` nothing of this membership; `!` it does not answer; `@300` for so many ms.
#include "operator/core/membership.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

namespace muster::op {
namespace {

using Turn = MembershipPlan::Turn;

const WallTime kNow{std::chrono::hours(1)};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Candidate candidate(const std::string& word) {
  std::size_t at = 0;
  Candidate each{.index = std::stoll(word, &at), .answers = true};
  each.uid = "uid-" + std::to_string(each.index);
  each.since = kNow - std::chrono::hours(1);
  while (at < word.size()) {
    const char letter = word[at++];
    if (letter == '!') each.answers = false;
    if (letter == 'w') each.state = Candidate::State::kWorks;
    if (letter == 's') each.state = Candidate::State::kStarting;
    if (letter == 'e') each.state = Candidate::State::kEnding;
    if (letter == 'b') each.state = Candidate::State::kBroken;
    if (letter != 'b' && letter != '@') continue;
    std::size_t read = 0;
    const bool number = at < word.size() && std::isdigit(static_cast<unsigned char>(word[at])) != 0;
    const std::int64_t value = number ? std::stoll(word.substr(at), &read) : 0;
    at += read;
    if (letter == 'b' && number) each.blames = value;
    if (letter == '@') each.since = kNow - std::chrono::milliseconds(value);
  }
  return each;
}

struct Case {
  const char* what;
  const char* roster;
  const char* live;
  int replicas;
  int minimum;  // 0: the spec is silent
  const char* next;
  int look_ms = 0;  // when it is decided anew
};
void PrintTo(const Case& each, std::ostream* out) { *out << each.what; }

std::string told(const MembershipPlan& plan) {
  if (plan.turn == Turn::kStay) return "stay";
  if (plan.turn == Turn::kNobodyLeft) return "nobody";
  std::string text;
  for (std::size_t rank = 0; rank < plan.roster.size(); ++rank) {
    text += fmt::format("{}{}", rank == 0 ? "" : " ", plan.roster[rank].index);
    if (static_cast<std::int64_t>(rank) + 1 == plan.holders) text += " *";
  }
  return text;
}

class Membership : public ::testing::TestWithParam<Case> {};

TEST_P(Membership, Next) {
  const Case& given = GetParam();
  std::vector<api::RosterMember> roster;
  std::int64_t holders = 0;
  for (const std::string& word : words_of(given.roster)) {
    if (word == "*")
      holders = std::ssize(roster);
    else
      roster.push_back({.index = std::stoll(word), .uid = "uid-" + word});
  }
  MembershipView view{
      .roster = roster, .holders = holders, .live = {}, .replicas = given.replicas, .now = kNow};
  if (given.minimum > 0) view.minimum = given.minimum;
  for (const std::string& word : words_of(given.live)) view.live.push_back(candidate(word));
  const MembershipPlan plan = plan_membership(view);
  EXPECT_EQ(told(plan), given.next);
  EXPECT_EQ(plan.look_at.has_value(), given.look_ms > 0);
  EXPECT_EQ(plan.look_at.value_or(kNow), kNow + std::chrono::milliseconds(given.look_ms));
}

INSTANTIATE_TEST_SUITE_P(
    First, Membership,
    ::testing::Values(Case{"all are here", "", "0n 1n 2n", 3, 0, "0 1 2"},
                      Case{"one is not created", "", "0n 2n", 3, 0, "stay"},
                      Case{"one does not answer yet", "", "0n 1n! 2n", 3, 0, "stay"},
                      Case{"one has failed", "", "0n 1e 2n", 3, 0, "stay"},
                      Case{"enough are here, the last of them just now", "", "0n 1n 2n@1000", 4, 3, "stay",
                           29'000},
                      Case{"enough were here for long", "", "0n 1n 3n@30000", 4, 3, "0 1 3"},
                      Case{"more than enough were here for long", "", "0n 1n@30000 3n@1000", 4, 2, "0 1 3"},
                      Case{"too few", "", "0n 1n", 4, 3, "stay"},
                      Case{"those above the wanted number are left out", "", "0n 1n 2n", 2, 0, "0 1"},
                      Case{"nobody is here", "", "", 2, 1, "stay"}));

INSTANTIATE_TEST_SUITE_P(
    Losses, Membership,
    ::testing::Values(Case{"all is well", "0 1 2 3 *", "0w 1n! 2n! 3n!", 4, 0, "stay"},
                      Case{"one is gone", "0 1 2 3 *", "0w 1n! 3n!", 4, 0, "0 1 3 *"},
                      Case{"rank 0 is gone", "0 1 2 3 *", "1w 2n! 3n!", 4, 0, "1 2 3 *"},
                      Case{"ranks stay in order", "3 1 0 2 *", "0w 1w 2w", 4, 0, "1 0 2 *"},
                      Case{"all but one are gone", "0 1 2 3 *", "2b3", 4, 0, "2 *"},
                      Case{"all are gone", "0 1 2 3 *", "", 4, 0, "nobody"},
                      Case{"all are ending", "0 1 *", "0e 1e", 2, 0, "stay"},
                      Case{"one is ending", "0 1 2 *", "0b1 1e 2b1", 3, 0, "0 2 *"},
                      Case{"before the first step nobody has a state", "0 1 2", "1s 2s", 3, 0, "1 2"},
                      Case{"only those who copy are left", "0 1 * 2", "2s", 3, 0, "nobody"},
                      Case{"one who copies is gone", "0 1 * 2", "0s 1s", 3, 0, "0 1 *"},
                      Case{"one who holds it is left beside one who copies", "0 1 * 2", "1s 2s", 3, 0,
                           "1 * 2"},
                      Case{"once they work all hold it", "0 1 * 2", "1w 2w", 3, 0, "1 2 *"},
                      Case{"a loss takes along who waits", "0 1 2 *", "0w 1w 3n@1", 4, 0, "0 1 * 3"}));

INSTANTIATE_TEST_SUITE_P(
    Blame, Membership,
    ::testing::Values(
        Case{"it is given time to show that it lives", "0 1 2 *", "0b1@100 1n! 2b1@50", 3, 0, "stay", 200},
        Case{"it does not", "0 1 2 *", "0b1@300 1n! 2b1@300", 3, 0, "0 2 *"},
        Case{"it answers", "0 1 2 *", "0b1@1000 1w 2b1@300", 3, 0, "0 1 2 *"},
        Case{"it is broken, too", "0 1 2 *", "0b1@1000 1b2@5 2b1@5", 3, 0, "0 1 2 *"},
        Case{"the same form again after a pause", "0 1 2 *", "0b1@400 1b2@5 2b1@5", 3, 0, "stay", 600},
        Case{"but at once with another", "0 1 *", "0b1@5 1b0@5 2n@0", 3, 0, "0 1 * 2"},
        Case{"it is gone already", "0 1 2 *", "0b1@5 2b1@5", 3, 0, "0 2 *"},
        Case{"nobody is blamed", "0 1 2 *", "0b@1000 1b@5 2w", 3, 0, "0 1 2 *"},
        Case{"a rank that is none", "0 1 *", "0b7@1000 1w", 2, 0, "0 1 *"},
        Case{"who is blamed is known by rank", "2 0 1 *", "0b0@300 1b0@300 2n!", 3, 0, "0 1 *"}));

INSTANTIATE_TEST_SUITE_P(
    Silence, Membership,
    ::testing::Values(Case{"of a new membership, for a while", "0 1 2 *", "0s 1n! 2n!@500", 3, 0, "0 2 *",
                           1500},
                      Case{"of all is rather ours", "0 1 2 *", "0s! 1s! 2s!", 3, 0, "stay"},
                      Case{"of one while the others work", "0 1 2 *", "0w 1w 2n!", 3, 0, "stay"},
                      Case{"of one that nobody asks", "0 1 *", "0w", 2, 0, "0 *"}));

INSTANTIATE_TEST_SUITE_P(
    Joining, Membership,
    ::testing::Values(Case{"the last one", "0 1 3 *", "0w 1n! 2n@0 3n!", 4, 0, "0 1 3 * 2"},
                      Case{"one that does not answer yet", "0 1 3 *", "0w 1n! 2n! 3n!", 4, 0, "stay"},
                      Case{"the others are waited for", "0 1 *", "0w 1w 2n@1000", 4, 0, "stay", 4000},
                      Case{"but not for long", "0 1 *", "0w 1w 2n@5000", 4, 0, "0 1 * 2"},
                      Case{"nor while too few are left", "0 1 *", "0b 1b 2n@0", 4, 3, "0 1 * 2"},
                      Case{"too few wait for whoever comes", "0 *", "0s 2n@0", 4, 3, "0 * 2"},
                      Case{"one of them is about to end", "0 1 *", "0w 1w 2e", 3, 0, "stay"}));

INSTANTIATE_TEST_SUITE_P(
    Scaling, Membership,
    ::testing::Values(Case{"down", "0 1 2 3 *", "0w 1w 2w 3w", 2, 0, "0 1 *"},
                      Case{"down, by index", "3 1 0 2 *", "0w 1w 2w 3w", 2, 0, "1 0 *"},
                      Case{"up", "0 1 *", "0w 1w 2n@5 3n@0", 4, 0, "0 1 * 2 3"},
                      Case{"down to those that are not there", "2 3 *", "2w 3w", 2, 0, "stay"},
                      Case{"they come first", "2 3 *", "0n 1n 2w 3w", 2, 0, "2 3 * 0 1"},
                      Case{"and copy the state", "2 3 * 0 1", "0s 1s 2s 3s", 2, 0, "stay"},
                      Case{"then the others leave", "2 3 * 0 1", "0w 1w 2w 3w", 2, 0, "0 1 *"},
                      Case{"below the minimum", "0 1 2 *", "0w 1w 2w", 1, 2, "0 *"}));

// A status is an object of the API: who may write it can write nonsense.
TEST(MembershipView, NonsenseInAStatusEndsNoOperator) {
  for (const std::int64_t holders :
       {std::int64_t{-5}, std::int64_t{99}, std::numeric_limits<std::int64_t>::max()}) {
    const std::vector<api::RosterMember> roster{
        {.index = -3, .uid = "uid-0"}, {.index = 0, .uid = "uid-0"}, {.index = 7, .uid = ""}};
    MembershipView view{.roster = roster, .holders = holders, .live = {}, .replicas = 2, .now = kNow};
    for (const char* word : {"0b2@9000", "1n"}) view.live.push_back(candidate(word));
    EXPECT_FALSE(told(plan_membership(view)).empty()) << holders;
  }
}

TEST(MembershipDeathTest, ACandidateOutOfItsPlaceIsABugOfOurs) {
  const std::vector<api::RosterMember> roster;
  MembershipView view{.roster = roster, .live = {}, .replicas = 2, .now = kNow};
  for (const char* word : {"1n", "0n"}) view.live.push_back(candidate(word));
  EXPECT_DEATH(static_cast<void>(plan_membership(view)), "check failed: .*is_sorted");
}

TEST(MembershipNeeded, IsOneWhereTheSpecIsSilentAndNeverMoreThanAreWanted) {
  EXPECT_EQ(members_needed(4, std::nullopt), 1);
  EXPECT_EQ(members_needed(4, 3), 3);
  EXPECT_EQ(members_needed(2, 3), 2);
}

}  // namespace
}  // namespace muster::op
