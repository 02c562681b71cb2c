// pod/credentials.cc: files, gRPC's credentials, and the names of callers
#include "pod/credentials.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "common/crypto/x509.h"
#include "pod/plain_messages.h"

namespace muster {
namespace {

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file && !text.empty()) return text;
  const int reason = errno;
  std::error_code none;
  if (!std::filesystem::exists(path, none)) {
    return not_found(fmt::format(
        "{} is missing; the muster operator mounts it in the pods that it creates, this program is "
        "not meant to be started by hand",
        path.string()));
  }
  return Error{Code::kPermissionDenied,
               fmt::format("cannot read {}: {}; its group must be the pod's fsGroup", path.string(),
                           text.empty() && file ? "it is empty" : std::strerror(reason))};
}

}  // namespace

Result<Credentials> Credentials::load(const std::filesystem::path& folder, WallTime now) {
  Pem pem;
  MUSTER_ASSIGN(pem.key, read_file(folder / kKeyFile));
  MUSTER_ASSIGN(pem.certificate, read_file(folder / kCertificateFile));
  MUSTER_ASSIGN(pem.authority, read_file(folder / kAuthorityFile));
  auto made = from_pem(std::move(pem), now);
  if (!made) return made.error().in(folder.string());
  return made;
}

Result<Credentials> Credentials::from_pem(Pem pem, WallTime now) {
  MUSTER_TRY(check_pair({.key = pem.key, .certificate = pem.certificate}));
  MUSTER_ASSIGN(const std::vector<std::string> names,
                verified_dns_names(pem.certificate, pem.authority, now));
  const auto name = names.size() == 1 ? parse_dns_name(names.front()) : std::nullopt;
  if (!name) {
    return invalid_argument(fmt::format("the certificate names {}, not one pod or the operator",
                                        names.empty() ? "nobody" : "\"" + names.front() + "\""));
  }
  return Credentials(std::move(pem), *name);
}

Status Credentials::check_name(const std::string& role, std::int64_t index, const std::string& uid) const {
  const PeerName wanted{.role = role, .index = index, .uid = uid};
  if (name_ == wanted) return {};
  return Error{Code::kUnauthenticated,
               fmt::format("the pod's certificate names {}, but the pod is {}; delete the pod, and see which "
                           "Secret its template mounts at {}",
                           dns_name(name_), dns_name(wanted), kCredentialsFolder)};
}

std::shared_ptr<grpc::ServerCredentials> Credentials::for_server() const {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = pem_->authority;
  options.pem_key_cert_pairs.push_back({pem_->key, pem_->certificate});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> Credentials::for_channel() const {
  return grpc::SslCredentials(
      {.pem_root_certs = pem_->authority, .pem_private_key = pem_->key, .pem_cert_chain = pem_->certificate});
}

void Credentials::expect(const PeerName& peer, grpc::ChannelArguments& arguments) {
  arguments.SetSslTargetNameOverride(dns_name(peer));
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // pods are never behind the machine's proxy
  take_plain_messages(arguments);
}

std::optional<PeerName> caller_of(const grpc::AuthContext& context) {
  if (!context.IsPeerAuthenticated()) return std::nullopt;
  const auto names = context.FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME);
  if (names.size() != 1) return std::nullopt;
  return parse_dns_name({names.front().data(), names.front().size()});
}

std::optional<PeerName> caller_of(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  return auth == nullptr ? std::nullopt : caller_of(*auth);
}

}  // namespace muster
