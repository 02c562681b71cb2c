#pragma once  // learning/sha256.h: SHA-256 of bytes, as hex; checksums of files and fingerprints
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace muster::learning {

// The digest of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] std::string hex() const;  // of what has come; more may follow

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// 64 lower-case hex digits of the concatenated parts. std::as_bytes(span) makes a part of any array.
[[nodiscard]] std::string sha256_hex(std::span<const std::span<const std::byte>> parts);
[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace muster::learning
