// JSON from outside.
#include "common/json/read_json.h"
#include "common/base/utf8.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

std::string brackets(int count) {
  return std::string(static_cast<std::size_t>(count), '[') +
         std::string(static_cast<std::size_t>(count), ']');
}

TEST(ReadJson, TakesWhatIsNestedUpToTheLimitAndNoMore) {
  EXPECT_EQ(read_json(R"({"a": "[[[{{{\\\"[["})")["a"], "[[[{{{\\\"[[");
  EXPECT_FALSE(read_json(brackets(kJsonDepthMax)).is_discarded());
  EXPECT_TRUE(read_json(brackets(kJsonDepthMax + 1)).is_discarded());
  EXPECT_TRUE(read_json(std::string(5'000'000, '[')).is_discarded());
  EXPECT_TRUE(read_json("{").is_discarded());
}

TEST(ReadJson, CountsTheLevelsOfAValueAsThoseOfItsText) {
  EXPECT_FALSE(nested_too_deep(read_json(brackets(kJsonDepthMax))));
  EXPECT_TRUE(nested_too_deep(Json::array({1, read_json(brackets(kJsonDepthMax))})));
}

TEST(ReadJson, KnowsUtf8) {
  EXPECT_TRUE(is_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"));
  for (const char* bad :
       {"\xff", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE0\x80\x80", "a\x80"})
    EXPECT_FALSE(is_utf8(bad));
}

TEST(ReadJson, ParseJsonNamesWhatIsWrong) {
  EXPECT_EQ(parse_json("{", "spec").error().message, "spec: not JSON at byte 2");
  EXPECT_EQ(parse_json("1e999", "spec").error().message, "spec: a number is too large for a double");
  EXPECT_EQ(parse_json(brackets(9999), "spec").error().message, "spec: nested more than 500 levels deep");
}

}  // namespace
}  // namespace muster
