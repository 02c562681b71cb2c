#pragma once  // worker/transport/tls_stream.h: data connections over TLS 1.3 with the membership's key
#include <cstdint>
#include <memory>

#include "worker/transport/byte_stream.h"
#include "worker/transport/handshake.h"

namespace muster::worker {

// The membership's key, by a derivation of its own, is the external pre-shared key of both ends (RFC 8446,
// 4.2.11), together with an ephemeral X25519 exchange: what was recorded cannot be read by one who learns the
// key later. There is no certificate, so an end without the key cannot complete a handshake. Thread-safe.
class TlsStreams {
 public:
  // AES-GCM may encrypt about 2^24 records of 16 KiB with one key (RFC 8446, 5.5): the sender changes it long
  // before.
  static constexpr std::uint64_t kRekeyBytes = std::uint64_t{1} << 34;

  explicit TlsStreams(const MembershipKey& key, std::uint64_t rekey_bytes = kRekeyBytes);
  ~TlsStreams();
  TlsStreams(const TlsStreams&) = delete;
  TlsStreams& operator=(const TlsStreams&) = delete;

  // The streams may outlive this object.
  [[nodiscard]] std::unique_ptr<ByteStream> stream(Fd fd, Handshake::Role role) const;

 private:
  struct Shared;
  std::shared_ptr<const Shared> shared_;
};

}  // namespace muster::worker
