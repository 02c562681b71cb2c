// tests/cli/audit_test.cc: what `muster audit` shows, and what it takes for a balance
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/audit_view.h"
#include "tests/cli/builders.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using testing::job;
using ::testing::Not;

Json epoch(std::int64_t number, std::int64_t counted = 97, std::int64_t twice = 0, std::int64_t missed = 0,
           const char* digest = "00112233445566aa") {
  return {{"epoch", number}, {"expected", 97},   {"counted", counted},
          {"twice", twice},  {"missed", missed}, {"digest", digest}};
}

Json with_ledger(Json epochs) {
  Json object = job().step(20, 40).json;
  object["spec"]["training"] = Json::object();
  object["status"]["progress"]["epoch"] = 2;
  if (!epochs.is_null()) object["status"]["progress"]["ledger"] = std::move(epochs);
  return object;
}

Json ended(Json object) {
  object["status"]["conditions"].push_back({{"type", "Succeeded"}, {"status", "True"}});
  return object;
}

TEST(Audit, ShowsTheEpochsAndThatTheyBalance) {
  const Audit audit = audit_of(ended(with_ledger({epoch(1), epoch(2)})));
  EXPECT_TRUE(audit.balances) << audit.text;
  EXPECT_THAT(audit.text, HasSubstr("EPOCH   EXPECTED   COUNTED   TWICE   MISSED   DIGEST\n"
                                    "1       97         97        0       0        00112233445566aa\n"));
  EXPECT_THAT(audit.text, HasSubstr("every example counted once in each of 2 epochs"));
}

TEST(Audit, WhatDoesNotBalanceIsNamed) {
  struct Case {
    Json odd;
    const char* words;
  };
  const Case cases[] = {
      {epoch(2, 99, 2, 0),
       "epoch 2 does not balance: of 97 examples 99 counted, 2 of them beyond once, 0 missed"},
      {epoch(2, 97, 3, 3), "3 of them beyond once, 3 missed"},
      {epoch(2, 90, 0, 7), "7 missed"},
      {epoch(2, 97, 0, 0, "ffffffffffffffff"), "others than in the epochs before"},
      {Json{{"epoch", 2}, {"expected", 97}}, "0 counted"},
  };
  for (const Case& each : cases) {
    const Audit audit = audit_of(with_ledger({epoch(1), each.odd}));
    EXPECT_FALSE(audit.balances) << audit.text;
    EXPECT_THAT(audit.text, HasSubstr(each.words));
  }
}

TEST(Audit, ALedgerThatEndsBeforeTheTrainingDoesNotBalance) {
  EXPECT_TRUE(audit_of(with_ledger({epoch(1)})).balances) << "it goes on";
  const Audit audit = audit_of(ended(with_ledger({epoch(1)})));
  EXPECT_FALSE(audit.balances);
  EXPECT_THAT(audit.text, HasSubstr("it ended with epoch 2, and its ledger with 1"));
  EXPECT_FALSE(audit_of(ended(with_ledger(Json()))).balances);
}

TEST(Audit, AnEpochThatItDoesNotTellOfDoesNotBalance) {
  struct Case {
    Json epochs;
    const char* words;
  };
  const Case cases[] = {
      {{epoch(1), epoch(2), epoch(3), epoch(12)}, "epochs 4 to 11 are missing from its ledger"},
      {{epoch(1), epoch(3)}, "epoch 2 is missing from its ledger"},
      {{epoch(1), epoch(1)}, "epoch 1 comes behind epoch 1 in its ledger"},
      {{epoch(3), epoch(2)}, "epoch 2 comes behind epoch 3 in its ledger"},
  };
  for (const Case& each : cases) {
    const Audit audit = audit_of(with_ledger(each.epochs));
    EXPECT_FALSE(audit.balances) << audit.text;
    EXPECT_THAT(audit.text, HasSubstr(each.words));
    EXPECT_THAT(audit.text, Not(HasSubstr("counted once")));
  }
}

TEST(Audit, OfAJobThatEndedWithoutALedgerItSaysWhy) {
  EXPECT_THAT(audit_of(ended(with_ledger(Json()))).text, HasSubstr("an earlier release"));
  Json object = with_ledger(Json());
  object["status"]["conditions"].push_back({{"type", "Failed"}, {"status", "True"}});
  const Audit failed = audit_of(object);
  EXPECT_FALSE(failed.balances);
  EXPECT_THAT(failed.text, HasSubstr("it failed before an epoch was over"));
  EXPECT_THAT(failed.text, Not(HasSubstr("release")));
}

TEST(Audit, WhereThereIsNoneItSaysWhy) {
  EXPECT_TRUE(audit_of(with_ledger(Json())).balances);
  EXPECT_THAT(audit_of(with_ledger(Json())).text, HasSubstr("no epoch is over yet"));
  Json gossip = with_ledger(Json());
  gossip["spec"]["synchronization"]["topology"] = "Gossip";
  EXPECT_FALSE(audit_of(gossip).balances);
  EXPECT_THAT(audit_of(gossip).text, HasSubstr("examples of its own"));
  Json program = with_ledger(Json());
  program["spec"].erase("training");
  EXPECT_THAT(audit_of(program).text, HasSubstr("its program"));
  EXPECT_THAT(audit_of(testing::federated().json).text, HasSubstr("federation"));
}

TEST(Audit, SaysWhichEpochsAreNotKept) {
  EXPECT_THAT(audit_of(with_ledger({epoch(5), epoch(6)})).text, HasSubstr("epochs before 5"));
}

}  // namespace
}  // namespace muster::cli
