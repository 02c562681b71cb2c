// tests/common/hmac_test.cc: HMAC-SHA256 against published vectors
#include "common/crypto/hmac.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>

namespace muster {
namespace {

std::string hex(const Mac& mac) {
  std::string text;
  for (const std::byte byte : mac) {
    for (const unsigned digit :
         {std::to_integer<unsigned>(byte) >> 4U, std::to_integer<unsigned>(byte) & 15U})
      text.push_back("0123456789abcdef"[digit]);
  }
  return text;
}

Mac mac_of(std::string_view key, std::string_view message) {
  return hmac_sha256(std::as_bytes(std::span(key)), std::as_bytes(std::span(message)));
}

TEST(Hmac, IsThatOfRfc4231) {
  EXPECT_EQ(hex(mac_of(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(mac_of("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(mac_of(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hmac, EqualityLooksAtEveryByte) {
  const Mac mac = mac_of("key", "message");
  EXPECT_TRUE(equal_in_constant_time(mac, mac));
  for (std::size_t i = 0; i < mac.size(); ++i) {
    Mac other = mac;
    other[i] ^= std::byte{1};
    EXPECT_FALSE(equal_in_constant_time(mac, other)) << "byte " << i;
  }
}

}  // namespace
}  // namespace muster
