// tests/worker/tls_stream_test.cc: encrypted streams against the kinds of ends and paths they may meet
#include "worker/transport/tls_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <functional>
#include <string>
#include <thread>

#include "common/base/random.h"
#include "common/crypto/x509.h"
#include "tests/worker/mesh_support.h"

namespace muster::worker::test {
namespace {

using Opening = ByteStream::Opening;
using Role = Handshake::Role;

std::pair<Fd, Fd> socket_pair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  return {Fd(fds[0]), Fd(fds[1])};
}

void await(int fd, short events) {
  pollfd ready{.fd = fd, .events = events, .revents = 0};
  ASSERT_EQ(1, poll(&ready, 1, 30'000)) << "the stream stands still";
}

// Both ends step by step, in one thread, until neither moves any more.
struct Ends {
  std::unique_ptr<ByteStream> dialer;
  std::unique_ptr<ByteStream> acceptor;
  Opening dialer_state = Opening::kReading;
  Opening acceptor_state = Opening::kReading;

  void open() {
    const auto step = [](ByteStream& stream, Opening& state) {
      if (state == Opening::kReading || state == Opening::kWriting) state = stream.open();
      if (state == Opening::kFailed) stream.end_sending();
    };
    for (int i = 0; i < 10; ++i) {
      step(*dialer, dialer_state);
      step(*acceptor, acceptor_state);
    }
  }
};

Ends ends(const MembershipKey& dialer_key, const MembershipKey& acceptor_key,
          std::uint64_t rekey_bytes = TlsStreams::kRekeyBytes) {
  auto [one, other] = socket_pair();
  return {.dialer = TlsStreams(dialer_key, rekey_bytes).stream(std::move(one), Role::kDialer),
          .acceptor = TlsStreams(acceptor_key, rekey_bytes).stream(std::move(other), Role::kAcceptor)};
}

Ends open_ends(std::uint64_t rekey_bytes = TlsStreams::kRekeyBytes) {
  Ends made = ends(test_key(), test_key(), rekey_bytes);
  made.open();
  EXPECT_EQ(made.dialer_state, Opening::kDone);
  EXPECT_EQ(made.acceptor_state, Opening::kDone);
  return made;
}

// As the ring does: odd pieces, a head now and then, and what was left comes first in the next call.
void send_all(ByteStream& stream, std::span<const std::byte> bytes) {
  Random random(3);
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 1 + random.below(200'000)));
    const auto head = piece.first(std::min<std::size_t>(piece.size(), random.below(3) == 0 ? 24 : 0));
    std::size_t done = 0;
    while (done < piece.size()) {
      const auto left_of_head = head.subspan(std::min(done, head.size()));
      const auto body = piece.subspan(std::max(done, head.size()));
      const Moved moved = stream.send(left_of_head, body);
      ASSERT_EQ(moved.end, Moved::End::kNone);
      done += moved.bytes;
      if (moved.bytes == 0) await(stream.fd(), POLLOUT);
    }
    bytes = bytes.subspan(piece.size());
  }
}

void receive_all(ByteStream& stream, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto head = bytes.first(std::min<std::size_t>(bytes.size(), 7));
    const Moved moved = stream.receive(head, bytes.subspan(head.size()));
    ASSERT_EQ(moved.end, Moved::End::kNone);
    if (moved.bytes == 0 && !stream.can_move(ByteStream::Way::kReceive)) await(stream.fd(), POLLIN);
    bytes = bytes.subspan(moved.bytes);
  }
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

// Both directions at once, so that keys change in one while the other is read and written.
void exchange(std::uint64_t rekey_bytes) {
  Ends both = open_ends(rekey_bytes);
  const auto there = random_bytes(8'000'003, 1);
  const auto back = random_bytes(3'000'001, 2);
  std::vector<std::byte> arrived(there.size());
  std::vector<std::byte> returned(back.size());
  {
    std::jthread a([&] { send_all(*both.dialer, there); });
    std::jthread b([&] { receive_all(*both.acceptor, arrived); });
    std::jthread c([&] { send_all(*both.acceptor, back); });
    std::jthread d([&] { receive_all(*both.dialer, returned); });
  }
  EXPECT_TRUE(arrived == there);
  EXPECT_TRUE(returned == back);
}

TEST(TlsStream, CarriesBothDirectionsAtOnce) { exchange(TlsStreams::kRekeyBytes); }

TEST(TlsStream, ChangesItsKeysWhileBothDirectionsFlow) { exchange(50'000); }

TEST(TlsStream, AnotherKeyOpensNothing) {
  Ends made = ends(test_key(1), test_key(2));
  made.open();
  EXPECT_EQ(made.dialer_state, Opening::kFailed);
  EXPECT_EQ(made.acceptor_state, Opening::kFailed);
}

TEST(TlsStream, PlaintextOpensNothing) {
  for (const std::string text : {"GET / HTTP/1.1\r\n\r\n", "MSRHELO2", "\x16\x03\x01\x00\x05hello"}) {
    auto [one, other] = socket_pair();
    const auto acceptor = TlsStreams(test_key()).stream(std::move(other), Role::kAcceptor);
    EXPECT_GT(send(one.get(), text.data(), text.size(), MSG_NOSIGNAL), 0);
    shutdown(one.get(), SHUT_WR);
    Opening state = Opening::kReading;
    for (int i = 0; i < 10 && state != Opening::kFailed; ++i) state = acceptor->open();
    EXPECT_EQ(state, Opening::kFailed) << text;
  }
}

// A stock OpenSSL end, in the other role than ours, as `configure` sets it up.
void expect_stock_end_refused(Role ours, const std::function<void(SSL_CTX*)>& configure) {
  auto [one, other] = socket_pair();
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_method()), &SSL_CTX_free);
  configure(context.get());
  const std::unique_ptr<SSL, decltype(&SSL_free)> stock(SSL_new(context.get()), &SSL_free);
  SSL_set_fd(stock.get(), one.get());
  if (ours == Role::kDialer) {
    SSL_set_accept_state(stock.get());
  } else {
    SSL_set_connect_state(stock.get());
  }
  const auto stream = TlsStreams(test_key()).stream(std::move(other), ours);
  Opening state = Opening::kReading;
  for (int i = 0; i < 10 && state != Opening::kFailed; ++i) {
    state = stream->open();
    SSL_do_handshake(stock.get());
  }
  ERR_clear_error();
  EXPECT_EQ(state, Opening::kFailed);
}

void use_certificate(SSL_CTX* context) {
  const auto now = std::chrono::system_clock::now();
  const auto authority = Authority::load(*make_authority("somebody", now));
  const auto leaf = authority->issue("worker-0.somebody", now);
  const auto bio = [](const std::string& pem) {
    return std::unique_ptr<BIO, decltype(&BIO_free_all)>(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free_all);
  };
  X509* certificate = PEM_read_bio_X509(bio(leaf->certificate).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio(leaf->key).get(), nullptr, nullptr, nullptr);
  EXPECT_EQ(SSL_CTX_use_certificate(context, certificate), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context, key), 1);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TEST(TlsStream, ACertificateIsNoMembership) {
  expect_stock_end_refused(Role::kDialer, use_certificate);
  expect_stock_end_refused(Role::kAcceptor, use_certificate);
}

TEST(TlsStream, AnEndThatDoesNotSpeakTls13IsRefused) {
  const auto tls12 = [](SSL_CTX* context) {
    use_certificate(context);
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  };
  expect_stock_end_refused(Role::kDialer, tls12);
  expect_stock_end_refused(Role::kAcceptor, tls12);
}

TEST(TlsStream, WhoSitsOnThePathReadsNothingAndChangesNothingUnnoticed) {
  auto [dialer_fd, near] = socket_pair();
  auto [far, acceptor_fd] = socket_pair();
  Ends made{.dialer = TlsStreams(test_key()).stream(std::move(dialer_fd), Role::kDialer),
            .acceptor = TlsStreams(test_key()).stream(std::move(acceptor_fd), Role::kAcceptor)};
  const auto relay = [](const Fd& from, const Fd& to, bool change) {
    std::string bytes(100'000, '\0');
    const ssize_t count = recv(from.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count <= 0) return std::string();
    bytes.resize(static_cast<std::size_t>(count));
    if (change) bytes.back() = static_cast<char>(bytes.back() ^ 1);
    EXPECT_EQ(send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), count);
    return bytes;
  };
  for (int i = 0; i < 10; ++i) {
    made.open();
    relay(near, far, false);
    made.open();
    relay(far, near, false);
  }
  ASSERT_EQ(made.dialer_state, Opening::kDone);
  ASSERT_EQ(made.acceptor_state, Opening::kDone);
  const std::string gradient = "a gradient that nobody else may see";
  const auto bytes = std::as_bytes(std::span(gradient));
  std::vector<std::byte> in(gradient.size());
  ASSERT_EQ(made.dialer->send({}, bytes).bytes, bytes.size());
  EXPECT_THAT(relay(near, far, false), testing::Not(testing::HasSubstr("gradient")));
  EXPECT_EQ(made.acceptor->receive({}, in).bytes, in.size());
  ASSERT_EQ(made.dialer->send({}, bytes).bytes, bytes.size());
  relay(near, far, true);
  const Moved changed = made.acceptor->receive({}, in);
  EXPECT_EQ(changed.bytes, 0U);
  EXPECT_EQ(changed.end, Moved::End::kForged);
}

TEST(TlsStream, AHalfClosedStreamStillSends) {
  Ends made = open_ends();
  made.acceptor->end_sending();
  std::vector<std::byte> in(4);
  EXPECT_EQ(made.dialer->receive({}, in).end, Moved::End::kClosed);
  EXPECT_EQ(made.dialer->send({}, random_bytes(4, 5)).bytes, 4U);
  EXPECT_EQ(made.acceptor->receive({}, in).bytes, 4U);
  made.acceptor.reset();
  Moved moved;
  while (moved.end == Moved::End::kNone) moved = made.dialer->send({}, random_bytes(4, 5));
  EXPECT_EQ(moved.end, Moved::End::kClosed) << "and no SIGPIPE";
}

}  // namespace
}  // namespace muster::worker::test
