#pragma once  // common/crypto/tls.h: TLS over sockets that do not block
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/crypto/x509.h"
#include "common/platform/socket_stream.h"

namespace muster {

// One end's keys and whom it believes. Cheap to copy; thread-safe. TLS 1.2 and 1.3.
class TlsContext {
 public:
  // Of a server that asks its clients for no certificate. Error: kInvalidArgument: not PEM, or not a pair.
  [[nodiscard]] static Result<TlsContext> server(const KeyPair& pair);
  // Of a client that talks only to who has a certificate of this authority for `dns_name`, whatever address
  // he is at. Error: kInvalidArgument: not PEM.
  [[nodiscard]] static Result<TlsContext> client(const std::string& authority_pem, std::string dns_name);

  // Takes a connected socket that does not block; the handshake comes with the first read or write. nullptr:
  // OpenSSL fails.
  [[nodiscard]] std::unique_ptr<SocketStream> stream(FileDescriptor connection) const;

 private:
  struct Parts;
  explicit TlsContext(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const Parts> parts_;
};

}  // namespace muster
