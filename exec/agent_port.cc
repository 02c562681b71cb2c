// exec/agent_port.cc: the sockets and OpenSSL's side of the Agent's port
#include "exec/agent_port.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>

#include "pod/peer_name.h"
#include "pod/pod_contract.h"

namespace muster::exec {
namespace {

constexpr std::size_t kReadBytes = std::size_t{16} << 10;
constexpr int kBacklog = 128;
constexpr int kAcceptsAtOnce = 64;  // then those who are here are served
constexpr int kIdleSeconds = 60, kProbeSeconds = 15, kProbes = 4;
constexpr int kUnheardMs = 60'000;
constexpr std::array<unsigned char, 3> kAlpn{2, 'h', '2'};

std::string why() { return std::strerror(errno); }

// A peer that is gone without a word, as with its node, is noticed also while nothing is told to it.
void set_up(int descriptor) {
  const std::array<std::tuple<int, int, int>, 6> options{{{IPPROTO_TCP, TCP_NODELAY, 1},
                                                          {SOL_SOCKET, SO_KEEPALIVE, 1},
                                                          {IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds},
                                                          {IPPROTO_TCP, TCP_KEEPINTVL, kProbeSeconds},
                                                          {IPPROTO_TCP, TCP_KEEPCNT, kProbes},
                                                          {IPPROTO_TCP, TCP_USER_TIMEOUT, kUnheardMs}}};
  for (const auto& [level, name, value] : options) setsockopt(descriptor, level, name, &value, sizeof value);
}

// The one DNS name of a certificate; empty: none, or several.
std::string name_in(X509* certificate) {
  if (certificate == nullptr) return {};
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string name;
  if (names != nullptr && sk_GENERAL_NAME_num(names) == 1) {
    const GENERAL_NAME* only = sk_GENERAL_NAME_value(names, 0);
    if (only->type == GEN_DNS)
      name.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(only->d.dNSName)),
                  static_cast<std::size_t>(ASN1_STRING_length(only->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return name;
}

std::string ip_of(const sockaddr_storage& peer) {
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&peer);
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&peer);
  return peer.ss_family == AF_INET6
             ? std::string(reinterpret_cast<const char*>(&v6->sin6_addr), sizeof v6->sin6_addr)
             : std::string(reinterpret_cast<const char*>(&v4->sin_addr), sizeof v4->sin_addr);
}

int choose_http2(SSL* /*tls*/, const unsigned char** out, unsigned char* size, const unsigned char* offered,
                 unsigned int offered_size, void* /*argument*/) {
  unsigned char* chosen = nullptr;
  const int outcome = SSL_select_next_proto(&chosen, size, kAlpn.data(), kAlpn.size(), offered, offered_size);
  *out = chosen;
  return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

class AgentPort::Connection {
 public:
  Connection(int descriptor, SSL* tls, std::string ip, const AgentCalls& calls, Instant now)
      : descriptor_(descriptor), tls_(tls), ip_(std::move(ip)), http2_(calls), born_(now) {}
  ~Connection() {
    SSL_free(tls_);
    close(descriptor_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] pollfd wanted() const {
    const bool writes = wants_write_ || !out_.empty();
    return {
        .fd = descriptor_, .events = static_cast<short>(writes ? POLLIN | POLLOUT : POLLIN), .revents = 0};
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool proven() const { return proven_; }
  [[nodiscard]] const std::string& ip() const { return ip_; }
  [[nodiscard]] Instant born() const { return born_; }
  [[nodiscard]] AgentConnection& http2() { return http2_; }
  [[nodiscard]] bool told_all() const { return !proven_ || (out_.empty() && !http2_.watches()); }

  // False: it is over.
  [[nodiscard]] bool serve() {
    ERR_clear_error();
    if (!proven_) {
      const int done = SSL_accept(tls_);
      if (done != 1) return goes_on(done);
      X509* certificate = SSL_get1_peer_certificate(tls_);
      proven_ = SSL_get_verify_result(tls_) == X509_V_OK && name_in(certificate) == dns_name(operator_name());
      X509_free(certificate);
      if (!proven_) return false;
    }
    return read() && write() && !(http2_.over() && out_.empty());
  }

  bool write() {
    for (;;) {
      if (out_.empty()) out_ = http2_.give();
      if (out_.empty()) return true;
      ERR_clear_error();  // of another connection: it would be taken for this one's
      const int done = SSL_write(tls_, out_.data(), static_cast<int>(out_.size()));
      if (done <= 0) return goes_on(done);
      out_.erase(0, static_cast<std::size_t>(done));
    }
  }

 private:
  bool read() {
    std::array<char, kReadBytes> bytes;
    for (;;) {
      ERR_clear_error();
      const int got = SSL_read(tls_, bytes.data(), static_cast<int>(bytes.size()));
      if (got <= 0) return goes_on(got);
      if (!http2_.take({bytes.data(), static_cast<std::size_t>(got)})) return false;
    }
  }
  bool goes_on(int outcome) {
    const int error = SSL_get_error(tls_, outcome);
    wants_write_ = error == SSL_ERROR_WANT_WRITE;
    return wants_write_ || error == SSL_ERROR_WANT_READ;
  }

  int descriptor_;
  SSL* tls_;
  std::string ip_;  // of the peer, as bytes
  AgentConnection http2_;
  Instant born_;
  bool proven_ = false, wants_write_ = false;
  std::string out_;  // of http2_, not yet written
};

AgentPort::AgentPort(AgentCalls calls) : calls_(std::move(calls)) {}

Result<std::unique_ptr<AgentPort>> AgentPort::open(const Options& options, AgentCalls calls) {
  std::unique_ptr<AgentPort> port(new AgentPort(std::move(calls)));
  MUSTER_TRY(port->load_keys(options));
  MUSTER_TRY(port->listen(options));
  return port;
}

AgentPort::~AgentPort() {
  connections_.clear();
  SSL_CTX_free(context_);
  if (listener_ >= 0) close(listener_);
}

Status AgentPort::load_keys(const Options& options) {
  // What an image has in its openssl.cnf is for its own programs.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  const auto file = [&options](const char* name) { return options.keys_folder + "/" + name; };
  for (const char* name : {kKeyFile, kCertificateFile, kAuthorityFile})
    if (access(file(name).c_str(), R_OK) != 0)
      return not_found(
          file(name) + ": " + why() +
          "; the muster operator mounts it in the pods that it creates, this program is not meant "
          "to be started by hand");
  context_ = SSL_CTX_new(TLS_server_method());
  const bool good = context_ != nullptr && SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_use_certificate_chain_file(context_, file(kCertificateFile).c_str()) == 1 &&
                    SSL_CTX_use_PrivateKey_file(context_, file(kKeyFile).c_str(), SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_load_verify_locations(context_, file(kAuthorityFile).c_str(), nullptr) == 1;
  if (!good)
    return invalid_argument(options.keys_folder + ": its files are no key, certificate and authority");
  if (const std::string named = name_in(SSL_CTX_get0_certificate(context_)); named != options.dns_name)
    return invalid_argument("the pod's certificate names " + (named.empty() ? "nobody" : named) +
                            ", but the pod is " + options.dns_name + "; delete the pod");
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_alpn_select_cb(context_, choose_http2, nullptr);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context_, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  return {};
}

Status AgentPort::listen(const Options& options) {
  sockaddr_storage address{};
  socklen_t size = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
  if (inet_pton(AF_INET, options.ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(options.port));
    size = sizeof *v4;
  } else if (inet_pton(AF_INET6, options.ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(options.port));
    size = sizeof *v6;
  } else {
    return invalid_argument(std::string(kPodIpVariable) + ": " + options.ip + " is no address");
  }
  listener_ = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  if (listener_ < 0 || setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, kBacklog) != 0)
    return unavailable("cannot listen on " + options.ip + " port " + std::to_string(options.port) + ": " +
                       why() + "; a container that takes this port must choose another");
  if (getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return unavailable("the port is not told: " + why());
  port_ = ntohs(address.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
  return {};
}

void AgentPort::wanted(std::vector<pollfd>& into) const {
  into.push_back({.fd = listener_, .events = POLLIN, .revents = 0});
  for (const auto& connection : connections_) into.push_back(connection->wanted());
}

void AgentPort::served(const std::vector<pollfd>& seen, Instant now) {
  const auto has_news = [&seen](int descriptor) {
    return std::any_of(seen.begin(), seen.end(),
                       [=](const pollfd& each) { return each.fd == descriptor && each.revents != 0; });
  };
  std::erase_if(connections_, [&](const auto& connection) {
    if (!connection->proven() && now >= connection->born() + kStrangerPatience) return true;
    return has_news(connection->descriptor()) && !connection->serve();
  });
  if (has_news(listener_)) accept(now);
}

void AgentPort::accept(Instant now) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int descriptor =
        accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    make_room();
    set_up(descriptor);
    SSL* tls = SSL_new(context_);
    if (tls == nullptr || SSL_set_fd(tls, descriptor) != 1) {
      SSL_free(tls);
      close(descriptor);
      continue;
    }
    connections_.push_back(std::make_unique<Connection>(descriptor, tls, ip_of(peer), calls_, now));
    connections_.back()->http2().publish(status_);
  }
}

void AgentPort::make_room() {
  std::map<std::string, int> strangers;  // by address
  std::size_t proven = 0;
  int most = 0;
  for (const auto& connection : connections_) {
    if (connection->proven())
      ++proven;
    else
      most = std::max(most, ++strangers[connection->ip()]);
  }
  if (connections_.size() - proven >= kStrangersMax)  // a flood pushes itself out, not the others
    connections_.erase(std::find_if(connections_.begin(), connections_.end(), [&](const auto& connection) {
      return !connection->proven() && strangers[connection->ip()] == most;
    }));
  if (proven < kConnectionsMax) return;
  const auto idle = std::find_if(connections_.begin(), connections_.end(),
                                 [](const auto& each) { return each->proven() && !each->http2().watches(); });
  connections_.erase(idle != connections_.end()
                         ? idle
                         : std::find_if(connections_.begin(), connections_.end(),
                                        [](const auto& each) { return each->proven(); }));
}

std::optional<Instant> AgentPort::next_deadline() const {
  std::optional<Instant> next;
  for (const auto& connection : connections_)
    if (const Instant due = connection->born() + kStrangerPatience; !connection->proven())
      next = std::min(next.value_or(due), due);
  return next;
}

bool AgentPort::is_watched() const {
  return std::any_of(connections_.begin(), connections_.end(), [](const auto& connection) {
    return connection->proven() && connection->http2().watches();
  });
}

void AgentPort::publish(const std::string& status) {
  status_ = status;
  std::erase_if(connections_, [&](const auto& connection) {
    connection->http2().publish(status);
    return connection->proven() && !connection->write();
  });
}

bool AgentPort::finish(Instant /*now*/) {
  std::erase_if(connections_, [](const auto& connection) {
    connection->http2().finish();
    return connection->proven() && !connection->write();
  });
  return std::all_of(connections_.begin(), connections_.end(),
                     [](const auto& connection) { return connection->told_all(); });
}

}  // namespace muster::exec
