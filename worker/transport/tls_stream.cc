// worker/transport/tls_stream.cc: OpenSSL over a non-blocking socket, behind one lock a stream
#include "worker/transport/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/crypto/hmac.h"
#include "common/platform/mutex.h"

namespace muster::worker {
namespace {

constexpr std::string_view kKeyPurpose = "muster data connection: TLS 1.3 pre-shared key";
constexpr std::string_view kIdentity = "muster-membership";
constexpr const char* kCipherSuite = "TLS_AES_128_GCM_SHA256";  // twice as fast as ChaCha20 here
constexpr std::array<unsigned char, 2> kCipherId{0x13, 0x01};   // the same
constexpr const char* kGroup = "X25519";
constexpr std::size_t kRecordBytes = 16 * 1024;
constexpr std::size_t kBatchBytes = 128 * 1024;  // of one system call: some records

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using Connection = std::unique_ptr<SSL, decltype(&SSL_free)>;

struct Socket {  // a stream's
  int fd = -1;
  std::vector<std::byte> out;                  // encrypted, for the next flush
  Moved::End receive_end = Moved::End::kNone;  // of the last read
};

Socket& socket_of(BIO* bio) { return *static_cast<Socket*>(BIO_get_data(bio)); }

// Several records go out in one system call; and OpenSSL never meets a socket that is full.
int write_socket(BIO* bio, const char* data, int size) {
  const auto bytes = std::as_bytes(std::span(data, static_cast<std::size_t>(size)));
  std::vector<std::byte>& out = socket_of(bio).out;
  out.insert(out.end(), bytes.begin(), bytes.end());
  return size;
}

int read_socket(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  Socket& socket = socket_of(bio);
  const ssize_t received = recv(socket.fd, data, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (received > 0) return static_cast<int>(received);
  socket.receive_end = received == 0 ? Moved::End::kClosed : end_of(errno);
  if (socket.receive_end == Moved::End::kNone) BIO_set_retry_read(bio);
  return received == 0 ? 0 : -1;
}

long control_socket(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* socket_method() {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "muster socket");
    MUSTER_CHECK(method != nullptr);
    BIO_meth_set_write(method, write_socket);
    BIO_meth_set_read(method, read_socket);
    BIO_meth_set_ctrl(method, control_socket);
    return method;
  }();
  return kMethod;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// The key as OpenSSL takes it: a session that both ends "resume".
SSL_SESSION* session_of(SSL* ssl) {
  const auto& key = *static_cast<const Mac*>(SSL_get_app_data(ssl));
  SSL_SESSION* session = SSL_SESSION_new();
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, kCipherId.data());
  MUSTER_CHECK(session != nullptr && cipher != nullptr &&
               SSL_SESSION_set1_master_key(session, reinterpret_cast<const unsigned char*>(key.data()),
                                           key.size()) == 1 &&
               SSL_SESSION_set_cipher(session, cipher) == 1 &&
               SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1 &&
               SSL_SESSION_set1_id_context(session, bytes_of(kIdentity), kIdentity.size()) == 1);
  return session;
}

int use_key(SSL* ssl, const EVP_MD* /*digest*/, const unsigned char** id, std::size_t* id_size,
            SSL_SESSION** session) {
  *id = bytes_of(kIdentity);
  *id_size = kIdentity.size();
  *session = session_of(ssl);
  return 1;
}

int find_key(SSL* ssl, const unsigned char* id, std::size_t id_size, SSL_SESSION** session) {
  *session = nullptr;
  if (std::string_view(reinterpret_cast<const char*>(id), id_size) != kIdentity) return 0;
  *session = session_of(ssl);
  return 1;
}

Context make_context() {
  Context context(SSL_CTX_new(TLS_method()), &SSL_CTX_free);
  SSL_CTX* ctx = context.get();
  MUSTER_CHECK(ctx != nullptr && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
               SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
               SSL_CTX_set_ciphersuites(ctx, kCipherSuite) == 1 &&
               SSL_CTX_set1_groups_list(ctx, kGroup) == 1);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  // No certificate is trusted: an end that offers one instead of the key is refused.
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  // An acceptor that verifies wants a name for its sessions, and the key is one to OpenSSL.
  MUSTER_CHECK(SSL_CTX_set_session_id_context(ctx, bytes_of(kIdentity), kIdentity.size()) == 1);
  SSL_CTX_set_psk_use_session_callback(ctx, use_key);
  SSL_CTX_set_psk_find_session_callback(ctx, find_key);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_default_read_buffer_len(ctx, kBatchBytes);
  return context;
}

}  // namespace

struct TlsStreams::Shared {
  Context context = make_context();
  Mac key{};
  std::uint64_t rekey_bytes = kRekeyBytes;
};

namespace {

class TlsStream final : public ByteStream {
 public:
  // `keep` holds what `context` and `key` belong to.
  TlsStream(Fd socket, Handshake::Role role, std::shared_ptr<const void> keep, SSL_CTX* context,
            const Mac* key, std::uint64_t rekey_bytes)
      : ByteStream(std::move(socket)),
        keep_(std::move(keep)),
        rekey_bytes_(rekey_bytes),
        ssl_(SSL_new(context), &SSL_free) {
    BIO* bio = BIO_new(socket_method());
    MUSTER_CHECK(ssl_ != nullptr && bio != nullptr);
    socket_.fd = fd();
    BIO_set_data(bio, &socket_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_app_data(ssl_.get(), const_cast<Mac*>(key));
    if (role == Handshake::Role::kDialer) {
      SSL_set_connect_state(ssl_.get());
    } else {
      SSL_set_accept_state(ssl_.get());
    }
  }

  Opening open() override {
    const MutexLock lock(mutex_);
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    const bool waits = done != 1 && SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ;
    const bool flushed = flush();  // also what says why it failed
    // Without the key there is no other way in, and none may open.
    const bool member = done == 1 && SSL_session_reused(ssl_.get()) == 1;
    if ((!member && !waits) || send_end_ != Moved::End::kNone) return Opening::kFailed;
    if (!flushed) return Opening::kWriting;
    return member ? Opening::kDone : Opening::kReading;
  }

  Moved send(std::span<const std::byte> head, std::span<const std::byte> body) override {
    const MutexLock lock(mutex_);
    std::size_t moved = 0;
    while (send_end_ == Moved::End::kNone && moved < head.size() + body.size()) {
      if (encrypted_ == 0)
        encrypt(head.subspan(std::min(moved, head.size())),
                body.subspan(moved - std::min(moved, head.size())));
      // A caller that left bytes behind has to begin with them.
      MUSTER_CHECK(encrypted_ <= head.size() + body.size() - moved);
      if (send_end_ != Moved::End::kNone || !flush()) break;
      moved += std::exchange(encrypted_, 0);
    }
    return moved_or_end(moved, send_end_);
  }

  Moved receive(std::span<std::byte> head, std::span<std::byte> body) override {
    const MutexLock lock(mutex_);
    std::size_t moved = read(head);
    if (moved == head.size()) moved += read(body);
    return moved_or_end(moved, receive_end_);
  }

  [[nodiscard]] bool can_move(Way way) const override {
    if (way == Way::kSend) return false;
    const MutexLock lock(mutex_);
    return !drained_;
  }

 private:
  // The beginning of these bytes, as records that wait for a flush.
  void encrypt(std::span<const std::byte> head, std::span<const std::byte> body) MUSTER_REQUIRES(mutex_) {
    rekey_if_due();
    if (!head.empty()) {  // in one record with the beginning of the body
      const std::size_t of_head = std::min(head.size(), kRecordBytes);
      const std::size_t of_body = std::min(body.size(), kRecordBytes - of_head);
      std::vector<std::byte> together(head.begin(), head.begin() + static_cast<std::ptrdiff_t>(of_head));
      together.insert(together.end(), body.begin(), body.begin() + static_cast<std::ptrdiff_t>(of_body));
      encrypt(together);
      if (of_head < head.size()) return;
      body = body.subspan(of_body);
    }
    encrypt(body.first(std::min(body.size(), kBatchBytes)));
  }

  void encrypt(std::span<const std::byte> bytes) MUSTER_REQUIRES(mutex_) {
    for (std::size_t done = 0; done < bytes.size();) {
      std::size_t count = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_.get(), bytes.data() + done, bytes.size() - done, &count) != 1) {
        send_end_ = Moved::End::kForged;  // a stream whose other direction is broken
        return;
      }
      done += count;
      encrypted_ += count;
      since_rekey_ += count;
    }
  }

  // Whether all that is encrypted is on its way.
  bool flush() MUSTER_REQUIRES(mutex_) {
    std::vector<std::byte>& out = socket_.out;
    while (flushed_ < out.size()) {
      const ssize_t sent =
          ::send(fd(), out.data() + flushed_, out.size() - flushed_, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        send_end_ = end_of(errno);
        return false;
      }
      flushed_ += static_cast<std::size_t>(sent);
    }
    out.clear();
    flushed_ = 0;
    return true;
  }

  std::size_t read(std::span<std::byte> bytes) MUSTER_REQUIRES(mutex_) {
    std::size_t moved = 0;
    while (moved < bytes.size() && receive_end_ == Moved::End::kNone) {
      std::size_t count = 0;
      ERR_clear_error();
      const int done = SSL_read_ex(ssl_.get(), bytes.data() + moved, bytes.size() - moved, &count);
      drained_ = done != 1;
      if (done != 1) {
        receive_end_ = receive_end(done);
        break;
      }
      moved += count;
    }
    return moved;
  }

  [[nodiscard]] Moved::End receive_end(int done) const MUSTER_REQUIRES(mutex_) {
    if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return Moved::End::kNone;
    return socket_.receive_end != Moved::End::kNone ? socket_.receive_end : Moved::End::kForged;
  }

  [[nodiscard]] static Moved moved_or_end(std::size_t moved, Moved::End end) {
    return {.bytes = moved, .end = moved == 0 ? end : Moved::End::kNone};
  }

  // The peer follows when it reads this; it changes its own key when it has sent as much.
  void rekey_if_due() MUSTER_REQUIRES(mutex_) {
    if (since_rekey_ < rekey_bytes_) return;
    ERR_clear_error();
    if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1) SSL_do_handshake(ssl_.get());
    since_rekey_ = 0;
  }

  std::shared_ptr<const void> keep_;
  const std::uint64_t rekey_bytes_;
  mutable Mutex mutex_;
  Socket socket_ MUSTER_GUARDED_BY(mutex_);
  Connection ssl_ MUSTER_GUARDED_BY(mutex_);
  std::size_t encrypted_ MUSTER_GUARDED_BY(mutex_) =
      0;                                               // bytes that wait for a flush: they have not moved yet
  std::size_t flushed_ MUSTER_GUARDED_BY(mutex_) = 0;  // of the socket's `out`
  std::uint64_t since_rekey_ MUSTER_GUARDED_BY(mutex_) = 0;
  bool drained_ MUSTER_GUARDED_BY(mutex_) = false;  // the last read found nothing more
  Moved::End send_end_ MUSTER_GUARDED_BY(mutex_) = Moved::End::kNone;
  Moved::End receive_end_ MUSTER_GUARDED_BY(mutex_) = Moved::End::kNone;
};

}  // namespace

TlsStreams::TlsStreams(const MembershipKey& key, std::uint64_t rekey_bytes) {
  auto shared = std::make_shared<Shared>();
  shared->key = hmac_sha256(key, std::as_bytes(std::span(kKeyPurpose)));
  shared->rekey_bytes = rekey_bytes;
  shared_ = std::move(shared);
}

TlsStreams::~TlsStreams() = default;

std::unique_ptr<ByteStream> TlsStreams::stream(Fd fd, Handshake::Role role) const {
  return std::make_unique<TlsStream>(std::move(fd), role, shared_, shared_->context.get(), &shared_->key,
                                     shared_->rekey_bytes);
}

}  // namespace muster::worker
