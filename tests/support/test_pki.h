#pragma once  // tests/support/test_pki.h: an authority of a test's own, and whom it names
#include <grpcpp/grpcpp.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/crypto/x509.h"
#include "pod/credentials.h"

namespace muster {

class TestPki {
 public:
  TestPki() : authority_(*Authority::load(*make_authority("Muster test CA", now()))) {}

  [[nodiscard]] const Authority& authority() const { return authority_; }
  [[nodiscard]] Credentials::Pem pem(const PeerName& name) const { return pem(dns_name(name)); }
  [[nodiscard]] Credentials::Pem pem(const std::string& dns) const {
    const KeyPair leaf = must(authority_.issue(dns, now()));
    return {.key = leaf.key, .certificate = leaf.certificate, .authority = authority_.certificate()};
  }
  // What was in force until an hour ago.
  [[nodiscard]] Credentials::Pem expired(const PeerName& name) const {
    const auto hour = std::chrono::hours(1);
    const KeyPair leaf = must(authority_.issue(dns_name(name), now() - 2 * hour, now() - hour));
    return {.key = leaf.key, .certificate = leaf.certificate, .authority = authority_.certificate()};
  }
  [[nodiscard]] Credentials of(const PeerName& name) const {
    return must(Credentials::from_pem(pem(name), now()));
  }
  [[nodiscard]] Credentials of_operator() const { return of(operator_name()); }
  [[nodiscard]] Credentials of_pod(const std::string& role, std::int64_t index,
                                   const std::string& uid) const {
    return of({.role = role, .index = index, .uid = uid});
  }

  // A channel of the operator to what must be the pod `peer`.
  [[nodiscard]] std::shared_ptr<grpc::Channel> channel(const std::string& address, const PeerName& peer,
                                                       const grpc::ChannelArguments& arguments = {}) const {
    return channel(address, peer, of_operator(), arguments);
  }
  [[nodiscard]] static std::shared_ptr<grpc::Channel> channel(const std::string& address,
                                                              const PeerName& peer, const Credentials& own,
                                                              grpc::ChannelArguments arguments = {}) {
    Credentials::expect(peer, arguments);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // no connection or backoff of another test
    return grpc::CreateCustomChannel(address, own.for_channel(), arguments);
  }

  // Makes `folder` what a pod finds at kCredentialsFolder.
  void write(const std::filesystem::path& folder, const PeerName& name) const { write(folder, pem(name)); }
  static void write(const std::filesystem::path& folder, const Credentials::Pem& pem) {
    std::filesystem::create_directories(folder);
    std::ofstream(folder / kKeyFile) << pem.key;
    std::ofstream(folder / kCertificateFile) << pem.certificate;
    std::ofstream(folder / kAuthorityFile) << pem.authority;
  }

 private:
  template <typename T>
  static T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return *std::move(result);
  }
  static WallTime now() { return std::chrono::system_clock::now(); }

  Authority authority_;
};

// One for all that a test program starts.
inline const TestPki& shared_test_pki() {
  static const TestPki kPki;
  return kPki;
}

}  // namespace muster
