// common/crypto/hmac.cc: HMAC through OpenSSL
#include "common/crypto/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"

namespace muster {

Mac hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message) {
  Mac mac{};
  unsigned int size = 0;
  const auto* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                          reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                          reinterpret_cast<unsigned char*>(mac.data()), &size);
  MUSTER_CHECK(made != nullptr && size == mac.size());
  return mac;
}

bool equal_in_constant_time(const Mac& a, const Mac& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace muster
