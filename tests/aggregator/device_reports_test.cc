// tests/aggregator/device_reports_test.cc: what devices tell of their own examples, and the drift of their
// data
#include "aggregator/round/device_reports.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "aggregator/round/drift.h"
#include "aggregator/store/journal_records.h"

namespace muster::agg {
namespace {

TEST(DeviceReports, AreSummedUpOverDevices) {
  DeviceReports reports(25, {});
  for (ClientId client = 0; client < 20; ++client)
    reports.taken(client, {.examples = client == 0 ? 100.0F : 10.0F,
                           .global = static_cast<float>(client) / 20.0F,
                           .tuned = client < 5 ? 0.5F : kNotMeasured});
  reports.sealed();
  const auto summaries = summaries_of(reports.kept());
  ASSERT_EQ(summaries.size(), 2U);  // nobody has personal layers
  const DeviceSummary& global = summaries[0];
  EXPECT_EQ(global.model, "Global");
  EXPECT_EQ(global.devices, 20);
  EXPECT_NEAR(global.mean, 0.475, 1e-6);
  EXPECT_NEAR(global.weighted, 10 * 9.5 / 290, 1e-6);
  EXPECT_NEAR(global.worst_tenth, 0.025, 1e-6);                // of 0 and .05
  EXPECT_NEAR(global.variance, (400 - 1) / 12.0 / 400, 1e-6);  // of 20 equal steps of 1/20
  EXPECT_EQ(summaries[1].model, "FineTuned");
  EXPECT_EQ(summaries[1].devices, 5);
  EXPECT_NEAR(summaries[1].worst_tenth, 0.5, 1e-9);  // of one at least
  EXPECT_NEAR(summaries[1].variance, 0, 1e-9);
}

TEST(DeviceReports, CountWithTheirUpdate) {
  DeviceReports reports(2, {});
  EXPECT_TRUE(reports.kept().empty());
  reports.taken(0, {.examples = 4, .global = 0.25F});
  reports.discarded();  // its round came to nothing
  reports.sealed();
  EXPECT_TRUE(reports.kept().empty());
  reports.taken(1, {.examples = 4, .global = 0.5F});
  EXPECT_TRUE(reports.kept().empty());
  reports.sealed();
  const std::vector<float> kept = reports.kept();
  EXPECT_EQ(devices_csv(kept), "client,examples,global,tuned,personal\n1,4,0.5,,\n");
  DeviceReports resumed(2, kept);
  EXPECT_EQ(resumed.kept(), kept);
  resumed.taken(7, {.examples = 1, .global = 1});  // is nobody
  resumed.taken(1, {.examples = 4, .global = 0.75F, .personal = 1});
  resumed.sealed();
  EXPECT_EQ(devices_csv(resumed.kept()), "client,examples,global,tuned,personal\n1,4,0.75,,1\n");
}

TEST(DeviceReports, StandInTheJournal) {
  UpdateKept update;
  update.id = "t";
  update.sha256 = "s";
  update.held_out = {.examples = 3, .global = 0.5F, .tuned = 0.75F, .personal = kNotMeasured};
  const JournalRecord record = update;
  const auto read = decode(record.index(), encode(record));
  ASSERT_TRUE(read);
  EXPECT_EQ(std::get<UpdateKept>(*read).held_out, update.held_out);
}

TEST(Drift, IsAgainstTheMedianOfTheRoundsBefore) {
  Drift drift;
  for (const double loss : {1.0, 4.0, 2.0}) {
    drift.add(loss);
    EXPECT_FALSE(drift.value());
  }
  drift.add(3.0);
  EXPECT_NEAR(*drift.value(), 0.5, 1e-9);  // 3 against 2
  drift.add(2.5);
  EXPECT_NEAR(*drift.value(), 0, 1e-9);  // against (2 + 3) / 2
  for (int round = 0; round < 20; ++round) drift.add(1);
  EXPECT_NEAR(*drift.value(), 0, 1e-9);
  drift.add(std::nan(""));
  EXPECT_NEAR(*drift.value(), 0, 1e-9);
  drift.add(5);
  EXPECT_NEAR(*drift.value(), 4, 1e-9);
}

}  // namespace
}  // namespace muster::agg
