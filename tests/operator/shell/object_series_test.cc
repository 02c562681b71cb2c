// tests/operator/shell/object_series_test.cc: what /metrics says of single objects
#include "operator/shell/object_series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

namespace muster::op {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string page_of(const Json& status) {
  auto families = object_families();
  add_series(families, "DistributedJob",
             {{"metadata", {{"name", "ring"}, {"namespace", "ml"}}},
              {"spec", {{"runPolicy", {{"maxRestarts", 5}}}}},
              {"status", status}});
  return prometheus::TextSerializer().Serialize(families);
}
Json condition(const char* type, const char* status, const char* reason) {
  return {{"type", type},      {"status", status},
          {"reason", reason},  {"lastTransitionTime", "2026-01-01T00:00:00Z"},
          {"message", "text"}, {"observedGeneration", 1}};
}

TEST(ObjectSeries, SayWhereAnObjectStandsAndWhy) {
  const std::string page =
      page_of({{"phase", "Pending"}, {"conditions", {condition("PodsReady", "False", "Unschedulable")}}});
  EXPECT_THAT(page, HasSubstr(R"(muster_job_info{namespace="ml",job_name="ring",job_kind="DistributedJob",)"
                              R"(phase="Pending",reason="Unschedulable"} 1)"));
  EXPECT_THAT(page, Not(HasSubstr("muster_job_restarts{"))) << "it had none";
}

TEST(ObjectSeries, SayHowManyRestartsOfHowMany) {
  const std::string page = page_of({{"phase", "Running"}, {"restarts", 2}});
  EXPECT_THAT(
      page, HasSubstr(R"(muster_job_restarts{namespace="ml",job_name="ring",job_kind="DistributedJob"} 2)"));
  EXPECT_THAT(
      page,
      HasSubstr(R"(muster_job_restarts_max{namespace="ml",job_name="ring",job_kind="DistributedJob"} 5)"));
}

TEST(ObjectSeries, SayHowMuchIsDoneWhereThatIsKnown) {
  EXPECT_THAT(
      page_of({{"phase", "Running"}, {"progress", {{"percent", 45}}}}),
      HasSubstr(
          R"(muster_job_progress_percent{namespace="ml",job_name="ring",job_kind="DistributedJob"} 45)"));
  EXPECT_THAT(page_of({{"phase", "Running"}, {"progress", {{"step", 45}}}}),
              Not(HasSubstr("muster_job_progress_percent{")));
}

TEST(ObjectSeries, AnObjectThatNoPassHasSeenIsPending) {
  EXPECT_THAT(page_of(nullptr), HasSubstr(R"(phase="Pending",reason=""} 1)"));
}

TEST(ObjectSeries, AnObjectThatHasEndedHasNone) {
  const std::string page = page_of({{"phase", "Failed"},
                                    {"restarts", 5},
                                    {"conditions", {condition("Failed", "True", "TooManyRestarts")}}});
  EXPECT_THAT(page, Not(HasSubstr("ring")));
}

TEST(ObjectSeries, WithoutACacheThereAreNone) {
  ObjectSeries series;
  for (const auto& family : series.collect()) EXPECT_TRUE(family.metric.empty()) << family.name;
}

}  // namespace
}  // namespace muster::op
