// learning/sha256.cc: SHA-256 through OpenSSL
#include "learning/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <string_view>

#include "common/base/check.h"

namespace muster::learning {

std::string sha256_hex(std::span<const std::span<const std::byte>> parts) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  MUSTER_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  for (const auto part : parts) MUSTER_CHECK(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  MUSTER_CHECK(EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size);
  for (unsigned int i = 0; i < size; ++i) {
    hex.push_back(kDigits[digest[i] >> 4]);
    hex.push_back(kDigits[digest[i] & 15]);
  }
  return hex;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  return sha256_hex(std::span<const std::span<const std::byte>>(&bytes, 1));
}

}  // namespace muster::learning
