// local/tests/support/https_client.cc: OpenSSL on a socket, and as much HTTP as our own server speaks
#include "local/tests/support/https_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <utility>
#include <vector>

namespace muster::testing {
namespace {

struct ContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

std::string decode_base64(const std::string& text) {
  std::vector<unsigned char> bytes(text.size());
  const int size = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  std::string out(reinterpret_cast<const char*>(bytes.data()), size < 0 ? 0 : static_cast<std::size_t>(size));
  return out.substr(0, out.find('\0'));
}

// The value of "name: value" on a line of its own, whatever the indentation.
std::string value_of(const std::string& line, std::string_view name) {
  const auto at = line.find_first_not_of(' ');
  if (at == std::string::npos || line.compare(at, name.size(), name) != 0) return "";
  return line.substr(at + name.size());
}

bool trust(SSL_CTX* context, const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  if (certificate == nullptr) return false;
  const bool added = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1;
  X509_free(certificate);
  return added;
}

// Of a header in `head`, lower-case name; "" if it is not there.
std::string header_value(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    bool same = true;
    for (std::size_t i = 0; i < name.size(); ++i)
      same = same && std::tolower(static_cast<unsigned char>(line[i])) == name[i];
    if (!same) continue;
    line.remove_prefix(name.size() + 1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    return std::string(line);
  }
  return "";
}

}  // namespace

Result<HttpsTarget> https_target(const std::string& kubeconfig) {
  HttpsTarget target;
  std::ifstream file(kubeconfig);
  for (std::string line; std::getline(file, line);) {
    if (std::string url = value_of(line, "server: https://"); !url.empty()) {
      target.host = url.substr(0, url.find(':'));
      target.port = std::atoi(url.c_str() + url.find(':') + 1);
    }
    if (std::string pem = value_of(line, "certificate-authority-data: "); !pem.empty())
      target.ca_pem = decode_base64(pem);
    if (std::string token = value_of(line, "token: "); !token.empty()) target.token = token;
  }
  if (target.port == 0 || target.token.empty())
    return invalid_argument(kubeconfig + " is not a kubeconfig of the embedded server");
  return target;
}

int connect_tcp(const HttpsTarget& target) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(target.port));
  inet_pton(AF_INET, target.host.c_str(), &address.sin_addr);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }
  ::close(fd);
  return -1;
}

struct HttpsClient::Impl {
  int fd = -1;
  std::unique_ptr<SSL_CTX, ContextFree> context{SSL_CTX_new(TLS_client_method())};
  std::unique_ptr<SSL, SslFree> ssl;
  std::string token;
  std::string host;
  std::string unread;

  ~Impl() {
    ssl.reset();
    if (fd >= 0) ::close(fd);
  }

  Result<std::string> read_chunks() {
    std::string body;
    while (true) {
      std::size_t line = 0;
      while ((line = unread.find("\r\n")) == std::string::npos)
        if (!more()) return unavailable("the connection ended within a chunk's size");
      const std::size_t size = std::strtoul(unread.c_str(), nullptr, 16);
      while (unread.size() < line + 2 + size + 2)
        if (!more()) return unavailable("the connection ended within a chunk");
      body.append(unread, line + 2, size);
      unread.erase(0, line + 2 + size + 2);
      if (size == 0) return body;
    }
  }

  bool more() {
    char bytes[32768];
    const int got = SSL_read(ssl.get(), bytes, sizeof bytes);
    if (got <= 0) return false;
    unread.append(bytes, static_cast<std::size_t>(got));
    return true;
  }
};

HttpsClient::HttpsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpsClient::HttpsClient(HttpsClient&& other) noexcept = default;
HttpsClient& HttpsClient::operator=(HttpsClient&& other) noexcept = default;
HttpsClient::~HttpsClient() = default;

Result<HttpsClient> HttpsClient::connect(const HttpsTarget& target, std::string_view protocol) {
  auto impl = std::make_unique<Impl>();
  impl->token = target.token;
  impl->host = target.host;
  impl->fd = connect_tcp(target);
  if (impl->fd < 0) return unavailable("nobody listens on " + target.host);
  SSL_CTX_set_verify(impl->context.get(), SSL_VERIFY_PEER, nullptr);
  if (!trust(impl->context.get(), target.ca_pem)) return invalid_argument("the certificate is not PEM");
  impl->ssl.reset(SSL_new(impl->context.get()));
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(impl->ssl.get()), target.host.c_str());
  SSL_set_fd(impl->ssl.get(), impl->fd);
  std::string offer;
  if (!protocol.empty()) offer.append(1, static_cast<char>(protocol.size())).append(protocol);
  SSL_set_alpn_protos(impl->ssl.get(), reinterpret_cast<const unsigned char*>(offer.data()),
                      static_cast<unsigned>(offer.size()));
  if (SSL_connect(impl->ssl.get()) != 1) {
    const char* why = ERR_reason_error_string(ERR_get_error());
    return unavailable(std::string("no TLS connection: ") + (why != nullptr ? why : "it was closed"));
  }
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(impl->ssl.get(), &chosen, &size);
  if (std::string_view(reinterpret_cast<const char*>(chosen), size) != protocol)
    return unavailable("the server does not speak " + std::string(protocol));
  return HttpsClient(std::move(impl));
}

std::string HttpsClient::head(std::string_view method, std::string_view path, std::size_t body_bytes,
                              std::string_view content_type) const {
  std::string text;
  text.reserve(512);
  text.append(method).append(" ").append(path).append(" HTTP/1.1\r\nHost: ").append(impl_->host);
  text.append("\r\nAuthorization: Bearer ").append(impl_->token).append("\r\nAccept: application/json\r\n");
  if (body_bytes > 0) {
    text.append("Content-Type: ").append(content_type);
    text.append("\r\nContent-Length: ").append(std::to_string(body_bytes)).append("\r\n");
  }
  return text.append("\r\n");
}

Status HttpsClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const int wrote = SSL_write(impl_->ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (wrote <= 0) return unavailable("the connection ended while a request was sent");
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

bool HttpsClient::receive(std::string& to) {
  char bytes[32768];
  if (!impl_->unread.empty()) {
    to += std::exchange(impl_->unread, {});
    return true;
  }
  const int got = SSL_read(impl_->ssl.get(), bytes, sizeof bytes);
  if (got <= 0) return SSL_get_error(impl_->ssl.get(), got) == SSL_ERROR_WANT_READ;
  to.append(bytes, static_cast<std::size_t>(got));
  return true;
}

Result<HttpsResponse> HttpsClient::receive_response(bool without_body) {
  std::size_t end = 0;
  while ((end = impl_->unread.find("\r\n\r\n")) == std::string::npos)
    if (!impl_->more()) return unavailable("the connection ended before an answer");
  HttpsResponse response;
  response.head = impl_->unread.substr(0, end + 2);
  response.status = std::atoi(response.head.c_str() + response.head.find(' ') + 1);
  impl_->unread.erase(0, end + 4);
  if (without_body || response.status < 200) return response;
  if (header_value(response.head, "transfer-encoding") == "chunked") {
    MUSTER_ASSIGN(response.body, impl_->read_chunks());
    return response;
  }
  const std::size_t size = std::strtoul(header_value(response.head, "content-length").c_str(), nullptr, 10);
  while (impl_->unread.size() < size)
    if (!impl_->more()) return unavailable("the connection ended within an answer");
  response.body = impl_->unread.substr(0, size);
  impl_->unread.erase(0, size);
  return response;
}

Result<HttpsResponse> HttpsClient::request(std::string_view method, std::string_view path,
                                           std::string_view body, std::string_view content_type) {
  std::string text = head(method, path, body.size(), content_type);
  text.append(body);
  MUSTER_TRY(send(text));
  return receive_response();
}

void HttpsClient::set_patience(std::chrono::milliseconds patience) {
  timeval time{};
  time.tv_sec = patience.count() / 1000;
  time.tv_usec = (patience.count() % 1000) * 1000;
  ::setsockopt(impl_->fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  ::setsockopt(impl_->fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

void HttpsClient::set_blocking(bool blocking) {
  const int flags = ::fcntl(impl_->fd, F_GETFL);
  ::fcntl(impl_->fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

int HttpsClient::fd() const { return impl_->fd; }

}  // namespace muster::testing
