#pragma once  // common/crypto/hkdf.h: keys from a key, and random bytes
#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster {

// HKDF with SHA-256 and an empty salt (RFC 5869): `bytes` bytes that depend on all of `key` and `info`.
// Raw bytes in a string. Error: kInternal: OpenSSL fails.
[[nodiscard]] Result<std::string> hkdf_sha256(std::string_view key, std::string_view info, std::size_t bytes);

// From the system's generator, fit for keys. Error: kInternal.
[[nodiscard]] Result<std::string> random_key(std::size_t bytes);

}  // namespace muster
