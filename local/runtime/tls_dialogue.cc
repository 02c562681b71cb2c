// local/runtime/tls_dialogue.cc: OpenSSL between two buffers
#include "local/runtime/tls_dialogue.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <utility>

namespace muster::local {
namespace {

SSL_CTX* shared_context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    if (made != nullptr) SSL_CTX_set_verify(made, SSL_VERIFY_NONE, nullptr);
    return made;
  }();
  return context;
}

class TlsDialogue : public Dialogue {
 public:
  explicit TlsDialogue(std::unique_ptr<Dialogue> inner)
      : inner_(std::move(inner)), ssl_(shared_context() == nullptr ? nullptr : SSL_new(shared_context())) {
    if (ssl_ == nullptr) return;
    from_peer_ = BIO_new(BIO_s_mem());
    to_peer_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, from_peer_, to_peer_);  // owns both
    SSL_set_connect_state(ssl_);
    advance();
  }
  ~TlsDialogue() override { SSL_free(ssl_); }
  TlsDialogue(const TlsDialogue&) = delete;
  TlsDialogue& operator=(const TlsDialogue&) = delete;

  std::string output() override {
    std::string out;
    std::array<char, 4096> bytes;
    int got = 0;
    while (ssl_ != nullptr && (got = BIO_read(to_peer_, bytes.data(), static_cast<int>(bytes.size()))) > 0)
      out.append(bytes.data(), static_cast<std::size_t>(got));
    return out;
  }

  void input(std::string_view bytes) override {
    if (ssl_ == nullptr) return;
    BIO_write(from_peer_, bytes.data(), static_cast<int>(bytes.size()));
    advance();
  }

  void end() override {
    if (ssl_ != nullptr && SSL_is_init_finished(ssl_) == 1) return inner_->end();
    failed_ = true;
  }

  std::optional<Verdict> verdict() const override {
    if (ssl_ == nullptr) return Verdict{.success = false, .output = "OpenSSL cannot be used"};
    if (failed_) return Verdict{.success = false, .output = "the server does not speak TLS"};
    return inner_->verdict();
  }

 private:
  void advance() {
    if (SSL_is_init_finished(ssl_) == 0 && SSL_do_handshake(ssl_) != 1) return note_error(-1);
    std::array<char, 4096> bytes;
    int got = 0;
    while (true) {
      if (const std::string plain = inner_->output(); !plain.empty())
        SSL_write(ssl_, plain.data(), static_cast<int>(plain.size()));
      got = SSL_read(ssl_, bytes.data(), static_cast<int>(bytes.size()));
      if (got <= 0) break;
      inner_->input({bytes.data(), static_cast<std::size_t>(got)});
    }
    note_error(got);
  }

  void note_error(int result) {
    const int error = SSL_get_error(ssl_, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    if (error == SSL_ERROR_ZERO_RETURN) return inner_->end();
    failed_ = !inner_->verdict();
  }

  std::unique_ptr<Dialogue> inner_;
  SSL* ssl_;
  BIO* from_peer_ = nullptr;
  BIO* to_peer_ = nullptr;
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<Dialogue> over_tls(std::unique_ptr<Dialogue> inner) {
  return std::make_unique<TlsDialogue>(std::move(inner));
}

}  // namespace muster::local
