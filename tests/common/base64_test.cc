// tests/common/base64_test.cc: base64 there and back, and where a text stops to be base64
#include "common/base/base64.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(Base64, RoundTripsAndRefusesNonsense) {
  for (const std::string text : {"", "a", "ab", "abc", "abcd"})
    EXPECT_EQ(base64_decode(base64_encode(text)), text);
  EXPECT_EQ(base64_encode("abcd"), "YWJjZA==");
  EXPECT_EQ(base64_decode("YW\nJj"), "abc");
  for (const char* bad : {"*", "YQ", "YQ=", "=YQ=", "YQ===", "Y"})
    EXPECT_EQ(base64_decode(bad), std::nullopt) << bad;
}

TEST(Base64, SaysWhereATextStopsToBeBase64) {
  EXPECT_EQ(base64_error("YWJj*"), 4U);
  EXPECT_EQ(base64_error("YWJj"), std::nullopt);
}

}  // namespace
}  // namespace muster
