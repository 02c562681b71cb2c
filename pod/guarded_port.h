#pragma once  // pod/guarded_port.h: a gRPC port of a pod on which only peers of known names make calls
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "pod/credentials.h"

namespace muster {

// Accepts the connections of ip:port for a gRPC server. Whoever connects is a stranger until his first
// permitted call, which must come soon. There is room for so many strangers; beyond, the oldest goes first,
// of the addresses that have most of them: strangers cost little, and cannot keep others out. A peer that
// has made itself known has room for so many connections; beyond, its oldest goes. All methods are
// thread-safe.
//
//   auto port = GuardedPort::open({...}, builder);
//   server = builder.BuildAndStart();
//   (*port)->start();
class GuardedPort {
 public:
  struct Options {
    std::string ip;
    int port = 0;  // 0 takes a free one
    Credentials credentials;
    std::function<bool(const PeerName&)> permitted;  // who may make calls at all
    // A connection or call was turned away, for one of kRefusals: for a counter.
    std::function<void(std::string_view reason)> refused{};
    std::chrono::milliseconds patience{5000};  // with a stranger, from accept to his first permitted call
    std::size_t strangers_max = 64;
    std::size_t connections_of_a_peer_max = 8;
  };
  // Listens and takes its place in `builder`. Errors: kAlreadyExists: the port is in use; kUnavailable: the
  // address is not this machine's, or another fault of the system, in words.
  [[nodiscard]] static Result<std::unique_ptr<GuardedPort>> open(Options options,
                                                                 grpc::ServerBuilder& builder);
  virtual ~GuardedPort() = default;  // stops

  [[nodiscard]] virtual int port() const = 0;
  virtual void start() = 0;  // accepting; once the server is there
  virtual void stop() = 0;   // accepting; before the server is shut down. Idempotent.

  // To be asked first by every call: OK, and its connection is no stranger's any more; else what to answer:
  // UNAUTHENTICATED or PERMISSION_DENIED, counted as "name", and the connection ends soon.
  [[nodiscard]] virtual grpc::Status check(const grpc::ServerContextBase& call) = 0;
};

// Why somebody is turned away.
inline constexpr std::string_view kRefusals[] = {
    "plaintext",  // the first byte is not TLS's
    "silent",     // nothing came in time
    "handshake",  // the connection ended before a permitted call: another authority, no certificate, expired,
                  // ...
    "late",       // no permitted call came in time
    "crowded",    // there were too many strangers, or connections of one peer
    "name",       // a call of a peer whose name is not permitted
};

}  // namespace muster
