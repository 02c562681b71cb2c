#pragma once  // learning/sha256.h: SHA-256 of bytes, as hex; checksums of files and fingerprints
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace muster::learning {

// 64 lower-case hex digits of the concatenated parts. std::as_bytes(span) makes a part of any array.
[[nodiscard]] std::string sha256_hex(std::span<const std::span<const std::byte>> parts);
[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace muster::learning
