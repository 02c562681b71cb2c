// tests/cli/log_choice_test.cc: whose logs `muster logs` shows
#include "cli/log_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using ::testing::ElementsAre;

PodView pod(const char* role, std::int64_t index) {
  PodView view;
  view.role = role;
  view.name = std::string(role) + "-" + std::to_string(index);
  view.index = view.rank = index;
  return view;
}

std::vector<std::string> chosen(const LogChoice& choice) {
  std::vector<std::string> names;
  for (const char* role : {"worker", "server", "aggregator", "client"})
    for (const std::int64_t index : {0, 1})
      if (const PodView view = pod(role, index); is_asked_for(view, choice)) names.push_back(view.name);
  return names;
}

TEST(LogChoice, ARankIsThatOfAWorkerOrOfTheAggregator) {
  EXPECT_THAT(chosen({.rank = 0}), ElementsAre("worker-0", "aggregator-0"));
}

TEST(LogChoice, WithARoleItCountsAmongItsPods) {
  EXPECT_THAT(chosen({.rank = 1, .role = "server"}), ElementsAre("server-1"));
  EXPECT_THAT(chosen({.rank = 1, .role = "client"}), ElementsAre("client-1"));
  EXPECT_THAT(chosen({.role = "server"}), ElementsAre("server-0", "server-1"));
}

TEST(LogChoice, AllRanksAreTheWorkers) {
  EXPECT_THAT(chosen({.all_ranks = true}), ElementsAre("worker-0", "worker-1"));
}

TEST(LogChoice, WithoutAChoiceItIsAll) { EXPECT_EQ(chosen({}).size(), 8U); }

}  // namespace
}  // namespace muster::cli
