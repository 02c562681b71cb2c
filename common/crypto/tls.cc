// common/crypto/tls.cc: OpenSSL's contexts and connections
#include "common/crypto/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "common/crypto/openssl.h"

namespace muster {
namespace {

constexpr unsigned char kTlsHandshake = 0x16;  // the content type of a ClientHello's record

using Context = std::unique_ptr<SSL_CTX, openssl::Freer<SSL_CTX, SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, openssl::Freer<SSL, SSL_free>>;

openssl::Bio reader(const std::string& pem) {
  return openssl::Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

openssl::Certificate read_certificate(const std::string& pem) {
  return openssl::Certificate(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
}

Context make_context(const SSL_METHOD* method) {
  Context context(SSL_CTX_new(method));
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context.get(),
                      SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

class TlsStream final : public SocketStream {
 public:
  TlsStream(Connection connection, FileDescriptor descriptor, bool serves)
      : descriptor_(std::move(descriptor)), connection_(std::move(connection)), untold_(serves) {}

  [[nodiscard]] int descriptor() const override { return descriptor_.get(); }

  [[nodiscard]] Moved read(std::span<char> into) override {
    if (untold_) {
      const Moved begun = look_at_first_byte();
      if (begun.state != State::kMoved) return begun;
    }
    ERR_clear_error();
    const int size = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
    return moved(SSL_read(connection_.get(), into.data(), size));
  }
  [[nodiscard]] Moved write(std::string_view bytes) override {
    ERR_clear_error();
    const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
    return moved(SSL_write(connection_.get(), bytes.data(), size));
  }
  void finish() override {
    ERR_clear_error();
    if (SSL_is_init_finished(connection_.get()) == 1) SSL_shutdown(connection_.get());
    ERR_clear_error();
    shutdown(descriptor_.get(), SHUT_WR);
  }
  [[nodiscard]] std::string_view fault() const override { return fault_; }

 private:
  // OpenSSL has many words for what is not TLS.
  Moved look_at_first_byte() {
    unsigned char first = 0;
    const ssize_t count = recv(descriptor_.get(), &first, 1, MSG_PEEK);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {.state = State::kWantsRead};
    if (count != 1) return {};
    untold_ = false;
    if (first == kTlsHandshake) return {.state = State::kMoved, .bytes = 1};
    fault_ = "plaintext";
    return {};
  }

  Moved moved(int count) {
    if (count > 0) return {.state = State::kMoved, .bytes = static_cast<std::size_t>(count)};
    switch (SSL_get_error(connection_.get(), count)) {
      case SSL_ERROR_WANT_READ: return {.state = State::kWantsRead};
      case SSL_ERROR_WANT_WRITE: return {.state = State::kWantsWrite};
      default: break;
    }
    ERR_clear_error();
    if (SSL_is_init_finished(connection_.get()) == 0) fault_ = "handshake";
    return {};
  }

  FileDescriptor descriptor_;
  Connection connection_;
  bool untold_;  // of a server: whether the first byte has been looked at
  std::string_view fault_;
};

}  // namespace

struct TlsContext::Parts {
  Context context;
  std::string dns_name;  // of the server; empty: this is one
};

Result<TlsContext> TlsContext::server(const KeyPair& pair) {
  MUSTER_TRY(check_pair(pair));
  Context context = make_context(TLS_server_method());
  const auto no_password = [](char*, int, int, void*) { return 0; };
  const openssl::Key key(PEM_read_bio_PrivateKey(reader(pair.key).get(), nullptr, no_password, nullptr));
  const openssl::Certificate certificate = read_certificate(pair.certificate);
  if (!context || SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    ERR_clear_error();
    return internal_error("OpenSSL cannot serve TLS");
  }
  auto parts = std::make_shared<Parts>();
  parts->context = std::move(context);
  return TlsContext(std::move(parts));
}

Result<TlsContext> TlsContext::client(const std::string& authority_pem, std::string dns_name) {
  Context context = make_context(TLS_client_method());
  const openssl::Certificate authority = read_certificate(authority_pem);
  ERR_clear_error();
  if (!authority) return invalid_argument("not a certificate in PEM");
  if (!context || X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get()) != 1)
    return internal_error("OpenSSL cannot begin TLS");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  auto parts = std::make_shared<Parts>();
  parts->context = std::move(context);
  parts->dns_name = std::move(dns_name);
  return TlsContext(std::move(parts));
}

std::unique_ptr<SocketStream> TlsContext::stream(FileDescriptor connection) const {
  Connection tls(SSL_new(parts_->context.get()));
  const bool serves = parts_->dns_name.empty();
  const bool made = tls && SSL_set_fd(tls.get(), connection.get()) == 1 &&
                    (serves || SSL_set1_host(tls.get(), parts_->dns_name.c_str()) == 1);
  ERR_clear_error();
  if (!made) return nullptr;
  if (serves) {
    SSL_set_accept_state(tls.get());
  } else {
    SSL_set_connect_state(tls.get());
  }
  return std::make_unique<TlsStream>(std::move(tls), std::move(connection), serves);
}

}  // namespace muster
