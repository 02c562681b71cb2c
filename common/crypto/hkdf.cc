// common/crypto/hkdf.cc: OpenSSL's KDF and generator, wrapped
#include "common/crypto/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <array>

#include "common/crypto/openssl.h"

namespace muster {

Result<std::string> hkdf_sha256(std::string_view key, std::string_view info, std::size_t bytes) {
  const openssl::Kdf kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const openssl::KdfContext context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  if (!context) return internal_error("OpenSSL has no HKDF");
  std::string digest = "SHA256";
  std::string secret(key);  // the parameters want it writable
  std::string purpose(info);
  const std::array<OSSL_PARAM, 4> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, purpose.data(), purpose.size()),
      OSSL_PARAM_construct_end()};
  std::string out(bytes, '\0');
  const int derived =
      EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(out.data()), bytes, parameters.data());
  OPENSSL_cleanse(secret.data(), secret.size());
  if (derived != 1) return internal_error("OpenSSL cannot derive a key");
  return out;
}

Result<std::string> random_key(std::size_t bytes) {
  std::string out(bytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(bytes)) != 1)
    return internal_error("OpenSSL has no random bytes for a key");
  return out;
}

}  // namespace muster
