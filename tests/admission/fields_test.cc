// tests/admission/fields_test.cc: every field of both kinds, as its schema bounds it: what the API server
// refuses with the path and what would be right, and what the operator's reader says of the same
#include <gmock/gmock.h>

#include "operator/api/status.h"
#include "tests/admission/admission.h"
#include "tests/admission/field_cases.h"

namespace muster::admission {
namespace {

using ::testing::HasSubstr;
using Expect = FieldCase::Expect;

class Fields : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Fields, ::testing::Values("DistributedJob", "FederatedRound"),
                         [](const auto& kind) { return std::string(kind.param); });

void judge(const FieldCase& each, const Verdict& verdict) {
  const std::string said = verdict.about(each.path);
  EXPECT_LT(verdict.code, 500) << each.what << ": " << verdict.message;
  if (each.expect == Expect::kFits) {
    EXPECT_THAT(said, ::testing::Not(HasSubstr("in body"))) << each.what;
  }
  if (each.expect != Expect::kRefused) return;
  EXPECT_FALSE(verdict.taken()) << each.what;
  EXPECT_NE(said, "") << each.what << ": names no path: " << verdict.message;
  for (const std::string& word : each.words) EXPECT_THAT(said, HasSubstr(word)) << each.what;
}

TEST(Samples, AreAcceptedByServerAndReader) {
  Server server;
  for (const Sample& each : samples()) {
    const Verdict verdict = server.create(each.object);
    EXPECT_TRUE(verdict.taken()) << each.file << ": " << verdict.message;
    const Status read_it = read(each.object);
    EXPECT_TRUE(read_it) << each.file << ": " << read_it.error().message;
    if (each.object.contains("status")) (void)server.keep(each.object);
  }
}

TEST_P(Fields, OfASpecAreRefusedWithPathAndRemedy) {
  Server server;
  const std::vector<FieldCase> cases = field_cases(GetParam(), "spec");
  EXPECT_GT(cases.size(), 500U);
  for (const FieldCase& each : cases) {
    const Verdict verdict = server.create(each.object);
    judge(each, verdict);
    if (each.expect == Expect::kAsAbsent) {
      const Verdict absent = server.create(each.absent);
      EXPECT_EQ(verdict.taken(), absent.taken()) << each.what << ": " << verdict.message << absent.message;
    }
    const Status seen = read(verdict.taken() ? verdict.object : each.object);
    if (seen) {
      EXPECT_FALSE(each.by_reader) << each.what << ": the reader takes it";
      continue;
    }
    const std::string& message = seen.error().message;
    EXPECT_TRUE(has_remedy(message)) << each.what << ": " << message;
    EXPECT_THAT(message, HasSubstr(each.by_reader ? each.path : "spec.")) << each.what;
    // What the server takes with one field at its bound, the reader refuses for the sake of another one only.
    if (verdict.taken() && each.expect == Expect::kFits) {
      EXPECT_THAT(message, ::testing::Not(HasSubstr(each.path + ": must be"))) << each.what;
    }
  }
}

TEST_P(Fields, OfAStatusAreRefusedWithThePathAndNeverStopTheReader) {
  Server server;
  std::map<std::string, Json> kept;  // by name
  for (const FieldCase& each : field_cases(GetParam(), "status")) {
    Json& object = kept[each.object["metadata"]["name"]];
    if (object.is_null()) object = server.keep(sample(each.file));
    Json changed = object;
    changed["status"] = each.object["status"];
    judge(each, server.change_status(changed));
    (void)op::api::to_json(op::api::status_from_json(each.object["status"]));
  }
}

}  // namespace
}  // namespace muster::admission
