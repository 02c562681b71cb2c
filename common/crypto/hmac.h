#pragma once  // common/crypto/hmac.h: proof that a message was written by a holder of a key
#include <array>
#include <cstddef>
#include <span>

namespace muster {

using Mac = std::array<std::byte, 32>;

// HMAC-SHA256 (RFC 2104). Of a uniformly random key and a text that names a purpose, it is also the key for
// that purpose.
[[nodiscard]] Mac hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message);

// Takes as long whatever the bytes are, so that nobody finds a proof byte by byte with a clock.
[[nodiscard]] bool equal_in_constant_time(const Mac& a, const Mac& b);

}  // namespace muster
