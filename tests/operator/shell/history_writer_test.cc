// tests/operator/shell/history_writer_test.cc: what operator/shell/history_writer promises
#include "operator/shell/history_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/rfc3339.h"
#include "tests/support/fake_transport.h"

namespace muster::op {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using kube::FakeTransport;

const WallTime kNow = clock_time(1'800'000'000);

Json refusal(int code, const std::string& reason) {
  return {{"kind", "Status"},
          {"status", "Failure"},
          {"code", code},
          {"reason", reason},
          {"message", reason + " indeed"}};
}

Json config_map(int records) {
  Json data = Json::object();
  for (int i = 0; i < records; ++i)
    data["r" + std::to_string(100 + i)] =
        Json{{"ended", rfc3339(kNow - std::chrono::hours(records - i))}}.dump();
  return {{"kind", "ConfigMap"}, {"metadata", {{"name", "muster-history"}}}, {"data", data}};
}

class HistoryWriterTest : public ::testing::Test {
 protected:
  Status write() {
    return writer_.write("team", {.key = "ring.u1", .record = {{"name", "ring"}, {"ended", rfc3339(kNow)}}},
                         kNow);
  }
  [[nodiscard]] std::vector<std::string> asked() const {
    std::vector<std::string> out;
    for (const auto& request : transport_->requests())
      out.push_back(request.method + " " + request.target.substr(0, request.target.find('?')));
    return out;
  }

  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  kube::Client client_{transport_, nullptr, {}};
  HistoryWriter writer_{client_, {.records_max = 10}};
};

constexpr const char* kPatch = "PATCH /api/v1/namespaces/team/configmaps/muster-history";
constexpr const char* kCreate = "POST /api/v1/namespaces/team/configmaps";

TEST_F(HistoryWriterTest, MergesARecordInByItsKeyAndReadsNothing) {
  transport_->will_json(200, config_map(3));
  EXPECT_TRUE(write());
  EXPECT_THAT(asked(), ElementsAre(kPatch));
  EXPECT_EQ(transport_->requests()[0].body,
            R"({"data":{"ring.u1":"{\"ended\":\")" + rfc3339(kNow) + R"(\",\"name\":\"ring\"}"}})");
}

TEST_F(HistoryWriterTest, MakesTheConfigMapOnce) {
  transport_->will_json(404, refusal(404, "NotFound"));
  transport_->will_json(201, config_map(1));
  EXPECT_TRUE(write());
  EXPECT_THAT(asked(), ElementsAre(kPatch, kCreate));
  EXPECT_THAT(transport_->requests()[1].body, HasSubstr("app.kubernetes.io/managed-by"));
}

TEST_F(HistoryWriterTest, LosesNoRecordToAnotherWriter) {
  transport_->will_json(404, refusal(404, "NotFound"));
  transport_->will_json(409, refusal(409, "AlreadyExists"));
  transport_->will_json(200, config_map(2));
  EXPECT_TRUE(write());
  EXPECT_THAT(asked(), ElementsAre(kPatch, kCreate, kPatch));
}

TEST_F(HistoryWriterTest, TakesTheOldestAway) {
  transport_->will_json(200, config_map(11));
  transport_->will_json(200, config_map(9));
  EXPECT_TRUE(write());
  EXPECT_THAT(asked(), ElementsAre(kPatch, kPatch));
  EXPECT_EQ(transport_->requests()[1].body, R"({"data":{"r100":null,"r101":null}})");
}

TEST_F(HistoryWriterTest, TellsARefusal) {
  transport_->will_json(403, refusal(403, "Forbidden"));
  const Status done = write();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kPermissionDenied);
  EXPECT_THAT(done.error().message, StartsWith("history of ended objects: "));
}

}  // namespace
}  // namespace muster::op
