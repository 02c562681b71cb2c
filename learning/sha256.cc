// learning/sha256.cc: SHA-256 through OpenSSL
#include "learning/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <string_view>

#include "common/base/check.h"
#include "common/base/hex.h"

namespace muster::learning {
namespace {

using ContextPointer = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

ContextPointer new_context() {
  ContextPointer context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  MUSTER_CHECK(context);
  return context;
}

}  // namespace

struct Sha256::Context {
  ContextPointer evp = new_context();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  MUSTER_CHECK(EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  MUSTER_CHECK(EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() const {
  const ContextPointer end = new_context();  // a copy, since the last step spoils it
  MUSTER_CHECK(EVP_MD_CTX_copy_ex(end.get(), context_->evp.get()) == 1);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  MUSTER_CHECK(EVP_DigestFinal_ex(end.get(), digest.data(), &size) == 1);
  return hex_of(digest.data(), size);
}

std::string sha256_hex(std::span<const std::span<const std::byte>> parts) {
  Sha256 sha256;
  for (const auto part : parts) sha256.update(part);
  return sha256.hex();
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  return sha256_hex(std::span<const std::span<const std::byte>>(&bytes, 1));
}

}  // namespace muster::learning
