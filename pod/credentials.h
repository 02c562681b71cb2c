#pragma once  // pod/credentials.h: what a pod proves its name with, and whom it believes
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "pod/peer_name.h"
#include "pod/pod_contract.h"

namespace grpc {
class AuthContext;
class ChannelArguments;
class ChannelCredentials;
class ServerContextBase;
class ServerCredentials;
}  // namespace grpc

namespace muster {

// A key, its certificate and the authority that both ends trust. Cheap to copy; thread-safe.
class Credentials {
 public:
  struct Pem {
    std::string key, certificate, authority;
  };
  // Errors name the file or the fact and the remedy. kNotFound: a file is missing; kPermissionDenied: it
  // cannot be read; kInvalidArgument: not PEM, not a pair, or the certificate names no peer of Muster's;
  // kUnauthenticated: it is of another authority; kOutOfRange: it has expired, or is not in force yet.
  [[nodiscard]] static Result<Credentials> load(const std::filesystem::path& folder, WallTime now);
  [[nodiscard]] static Result<Credentials> from_pem(Pem pem, WallTime now);

  [[nodiscard]] const PeerName& name() const { return name_; }
  // Of this pod: that its certificate names it. Error: kUnauthenticated.
  [[nodiscard]] Status check_name(const std::string& role, std::int64_t index, const std::string& uid) const;

  // For a server: peers without a certificate of the authority fail in the handshake. Whoever gets in is only
  // known to be somebody: ask `caller_of` on every call.
  [[nodiscard]] std::shared_ptr<grpc::ServerCredentials> for_server() const;
  // For a channel; `expect` says with whom.
  [[nodiscard]] std::shared_ptr<grpc::ChannelCredentials> for_channel() const;
  // Adds to the arguments of a channel that only `peer` is talked to: whoever else answers at the address
  // fails in the handshake. Compressed messages are not taken (plain_messages.h).
  static void expect(const PeerName& peer, grpc::ChannelArguments& arguments);

 private:
  Credentials(Pem pem, PeerName name)
      : pem_(std::make_shared<const Pem>(std::move(pem))), name_(std::move(name)) {}

  std::shared_ptr<const Pem> pem_;
  PeerName name_;
};

// Who makes this call, as its certificate says; nullopt: no certificate, or it does not name one peer of
// Muster's.
[[nodiscard]] std::optional<PeerName> caller_of(const grpc::AuthContext& context);
[[nodiscard]] std::optional<PeerName> caller_of(const grpc::ServerContextBase& context);

}  // namespace muster
