// tests/common/base64_test.cc: base64 there and back, and where a text stops to be base64; hexadecimal
#include "common/base/base64.h"

#include <gtest/gtest.h>

#include "common/base/hex.h"

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

TEST(Hex, HasTwoLowerCaseDigitsForEachByte) {
  EXPECT_EQ(hex_of(std::string("\x00\x7f\x80\xff\x0a", 5)), "007f80ff0a");
  EXPECT_EQ(hex_of(""), "");
  const unsigned char bytes[] = {0xAB, 1};
  EXPECT_EQ(hex_of(bytes, 2), "ab01");
}

}  // namespace
}  // namespace muster
