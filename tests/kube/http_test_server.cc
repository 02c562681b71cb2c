// tests/kube/http_test_server.cc: sockets and TLS of the test server
#include "tests/kube/http_test_server.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>

#include "common/base/check.h"

namespace muster::kube {
namespace {

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

X509* parse_certificate(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return certificate;
}

}  // namespace

TestCertificate make_certificate(const std::string& ip, const std::string& dns) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_set_version(certificate, 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("muster-test"),
                             -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  const std::string alternatives = dns.empty() ? "IP:" + ip : "DNS:" + dns;
  for (const auto& [id, value] : {std::pair{NID_subject_alt_name, alternatives},
                                  {NID_basic_constraints, std::string("critical,CA:TRUE")}}) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(certificate, key, EVP_sha256());
  TestCertificate out;
  BIO* certificate_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_text, certificate);
  out.certificate_pem = text_of(certificate_text);
  BIO* key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_text, key, nullptr, nullptr, 0, nullptr, nullptr);
  out.key_pem = text_of(key_text);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return out;
}

std::string HttpTestServer::Connection::read_request() {
  std::array<char, 4096> buffer{};
  std::size_t wanted = std::string::npos;
  while (pending_.size() < wanted) {
    const auto head = pending_.find("\r\n\r\n");
    if (head != std::string::npos && wanted == std::string::npos) {
      const auto length = pending_.find("Content-Length:");
      wanted = head + 4 + (length < head ? std::stoul(pending_.substr(length + 15)) : 0);
      continue;
    }
    const auto n = tls_ != nullptr ? SSL_read(tls_, buffer.data(), static_cast<int>(buffer.size()))
                                   : static_cast<int>(recv(socket_, buffer.data(), buffer.size(), 0));
    if (n <= 0) return {};
    pending_.append(buffer.data(), static_cast<std::size_t>(n));
  }
  std::string request = pending_.substr(0, wanted);
  pending_.erase(0, wanted);
  return request;
}

bool HttpTestServer::Connection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = tls_ != nullptr
                       ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                       : static_cast<int>(send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool HttpTestServer::Connection::respond(int status, const std::string& body, const std::string& headers) {
  return write("HTTP/1.1 " + std::to_string(status) + " x\r\n" + headers +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
}

bool HttpTestServer::Connection::wait_closed() {
  timeval limit{.tv_sec = 10, .tv_usec = 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  std::array<char, 64> buffer{};
  while (true) {
    const auto n = recv(socket_, buffer.data(), buffer.size(), 0);
    if (n > 0) continue;
    return n == 0 || errno == ECONNRESET;
  }
}

std::string HttpTestServer::Connection::server_name() const {
  const char* name = SSL_get_servername(tls_, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

std::string HttpTestServer::Connection::peer_subject() const {
  X509* peer = SSL_get1_peer_certificate(tls_);
  if (peer == nullptr) return {};
  std::array<char, 256> text{};
  X509_NAME_oneline(X509_get_subject_name(peer), text.data(), static_cast<int>(text.size()));
  X509_free(peer);
  return text.data();
}

HttpTestServer::HttpTestServer(Script script, const TestCertificate* certificate,
                               const std::string& client_ca_pem)
    : script_(std::move(script)) {
  std::signal(SIGPIPE, SIG_IGN);  // a client that refuses the handshake hangs up while the server writes
  if (certificate != nullptr) {
    tls_ = SSL_CTX_new(TLS_server_method());
    X509* own = parse_certificate(certificate->certificate_pem);
    BIO* bio = BIO_new_mem_buf(certificate->key_pem.data(), static_cast<int>(certificate->key_pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    SSL_CTX_use_certificate(tls_, own);
    SSL_CTX_use_PrivateKey(tls_, key);
    X509_free(own);
    EVP_PKEY_free(key);
    if (!client_ca_pem.empty()) {
      X509* ca = parse_certificate(client_ca_pem);
      X509_STORE_add_cert(SSL_CTX_get_cert_store(tls_), ca);
      X509_free(ca);
      SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
  }
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  MUSTER_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  MUSTER_CHECK(listen(listener_, 16) == 0);
  socklen_t size = sizeof address;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] { accept_all(); });
}

HttpTestServer::~HttpTestServer() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : open_) shutdown(socket, SHUT_RDWR);
  }
  threads_.clear();
  close(listener_);
  SSL_CTX_free(tls_);
}

std::string HttpTestServer::url() const {
  return (tls_ != nullptr ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_);
}

void HttpTestServer::accept_all() {
  while (!stopping_) {
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    open_.push_back(socket);
    threads_.emplace_back([this, socket] { serve(socket); });
  }
}

void HttpTestServer::serve(int socket) {
  SSL* tls = nullptr;
  bool usable = true;
  if (tls_ != nullptr) {
    tls = SSL_new(tls_);
    SSL_set_fd(tls, socket);
    usable = SSL_accept(tls) == 1;
  }
  if (usable) {
    Connection connection(socket, tls);
    script_(connection);
  }
  SSL_free(tls);
  const std::lock_guard lock(mutex_);
  std::erase(open_, socket);
  close(socket);
}

}  // namespace muster::kube
