// tests/common/fields_test.cc: errors of strict JSON reading name the field, the fact and what is allowed
#include "common/json/fields.h"

#include <gmock/gmock.h>

namespace muster {
namespace {

using ::testing::HasSubstr;

TEST(Fields, NamesAMisspeltFieldByItsPath) {
  const Json json{{"batchSiz", 3}};
  std::int64_t size = 7;
  const Status status = Fields(json, "spec.training").integer("batchSize", size).finish();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("spec.training.batchSiz: unknown field"));
  EXPECT_EQ(size, 7);
}

TEST(Fields, KeepsTheFirstErrorOnly) {
  const Json json{{"a", "x"}, {"b", "y"}};
  std::int64_t a = 0;
  std::int64_t b = 0;
  const Status status = Fields(json, "").integer("a", a).integer("b", b).finish();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("a: must be an integer"));
}

TEST(Fields, RefusesNumbersOutOfRange) {
  const Json json{{"n", -1}, {"m", 18446744073709551615ULL}};
  std::int64_t n = 0;
  EXPECT_THAT(Fields(json, "spec").integer("n", n, {.min = 0}).finish().error().message,
              HasSubstr("spec.n: must be at least 0, is -1"));
  EXPECT_THAT(Fields(json, "spec").integer("m", n).finish().error().message, HasSubstr("must be an integer"));
}

TEST(Fields, TreatsNullAsAbsent) {
  const Json json{{"n", nullptr}};
  std::int64_t n = 5;
  EXPECT_TRUE(Fields(json, "").integer("n", n).finish());
  EXPECT_EQ(n, 5);
}

TEST(Fields, WrongEnumListsWhatIsAllowed) {
  const Json json{{"name", "Rnig"}};
  std::string name = "Ring";
  EXPECT_THAT(Fields(json, "s").one_of("name", name, {"Ring", "Tree"}).finish().error().message,
              HasSubstr("\"Rnig\" is not supported, use one of: Ring, Tree"));
}

TEST(Fields, ReadsNestedObjectsWithTheirPath) {
  const Json json{{"list", {{{"x", 1}}, {{"y", 2}}}}};
  std::vector<std::int64_t> seen;
  const Status status = Fields(json, "spec")
                            .each("list",
                                  [&](const Json& element, const std::string& path) {
                                    std::int64_t x = 0;
                                    Status read = Fields(element, path).integer("x", x).finish();
                                    seen.push_back(x);
                                    return read;
                                  })
                            .finish();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("spec.list[1].y: unknown field"));
  EXPECT_EQ(seen.front(), 1);
}

}  // namespace
}  // namespace muster
