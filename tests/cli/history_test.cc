// tests/cli/history_test.cc: what cli/history_view promises
#include "cli/history_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/rfc3339.h"

namespace muster::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

Json config_map(const std::string& ns, const std::vector<Json>& records) {
  Json data{{"notes", "a person's"}, {"broken", "{"}, {"list", "[1]"}};
  for (const Json& record : records)
    data[record["name"].get<std::string>() + "." + record.value("uid", "u")] = record.dump();
  return {{"metadata", {{"name", "muster-history"}, {"namespace", ns}}}, {"data", data}};
}

Json record(const std::string& name, const std::string& uid, const std::string& ended) {
  return {{"kind", "DistributedJob"},
          {"name", name},
          {"uid", uid},
          {"result", "Succeeded"},
          {"reason", "Completed"},
          {"ended", ended},
          {"seconds", 75},
          {"restarts", 1},
          {"pods", 4},
          {"image", "w:1"},
          {"started", "2026-01-01T00:00:00Z"},
          {"resources", {{"limits", {{"nvidia.com/gpu", 8}, {"memory", "4Gi"}}}}},
          {"progress",
           {{"step", 2000},
            {"totalSteps", 2000},
            {"loss", 0.25},
            {"accuracy", 0.91},
            {"parametersSha256", "0123456789abcdef"}}}};
}

TEST(History, ShowsTheRunsOfANameInTheirOrder) {
  const std::vector<Json> maps{config_map(
      "a", {record("ring", "u2", "2026-01-03T00:00:00Z"), record("ring", "u1", "2026-01-02T00:00:00Z"),
            record("tree", "u3", "2026-01-01T00:00:00Z")})};
  const auto records = read_history(maps, {.kind = "", .name = "ring"});
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0]["uid"], "u1");
  EXPECT_EQ(records[1]["uid"], "u2");
  EXPECT_EQ(read_history(maps, {}).size(), 3U);
  EXPECT_TRUE(read_history(maps, {.kind = "FederatedRound", .name = ""}).empty());
}

TEST(History, IsATable) {
  const auto records = read_history({config_map("a", {record("ring", "u", "2026-01-02T00:00:00Z")})}, {});
  const WallTime now = *parse_rfc3339("2026-01-02T01:00:00Z");
  const std::string table = render_history(records, HistoryColumns::kUsual, false, now);
  EXPECT_THAT(table,
              MatchesRegex("NAME .*ACCURACY\nring +DistributedJob +Succeeded +Completed +60m +1m15s +1 +step "
                           "2,000 of 2,000 +0.2500 +91.00%\n"));
  EXPECT_THAT(render_history(records, HistoryColumns::kWide, true, now),
              AllOf(HasSubstr("memory=4Gi,nvidia.com/gpu=8"), HasSubstr("0123456789ab   u\n"),
                    MatchesRegex("NAMESPACE .*\na  +ring .*\n")));
}

TEST(History, TellsOfOtherRolesBesideTheFirst) {
  Json served = record("ring", "u", "2026-01-02T00:00:00Z");
  served["roles"] = {{"server", {{"pods", 3}, {"resources", {{"requests", {{"memory", "64Gi"}}}}}}}};
  EXPECT_THAT(
      render_history(read_history({config_map("a", {served})}, {}), HistoryColumns::kWide, false, WallTime{}),
      HasSubstr("memory=4Gi,nvidia.com/gpu=8; 3 server: memory=64Gi "));
}

TEST(History, SteersNoTerminalAndMissesNothingThatIsAbsent) {
  const auto records = read_history(
      {config_map(
          "a",
          {{{"name", "x\x1b[2J"}, {"ended", "2026-01-02T00:00:00Z"}, {"progress", 7}, {"resources", "?"}}})},
      {});
  const std::string table = render_history(records, HistoryColumns::kWide, true, WallTime{});
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
  EXPECT_THAT(table, HasSubstr("x?[2J"));
}

}  // namespace
}  // namespace muster::cli
