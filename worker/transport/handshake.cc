// worker/transport/handshake.cc: hello, reply and proof as bytes, little-endian; what comes in is hostile
#include "worker/transport/handshake.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/hmac.h"

namespace muster::worker {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire format is little-endian");

constexpr std::uint64_t kHelloMagic = 0x324f4c4548'52534dULL;  // "MSRHELO2"
constexpr std::uint64_t kReplyMagic = 0x31594c5052'52534dULL;  // "MSRRPLY1"
constexpr std::uint32_t kVersion = 5;
constexpr std::size_t kUidBytes = 64;

constexpr std::string_view kKeyPurpose = "muster data connection: proofs of membership";
constexpr std::string_view kDialerDomain = "muster data connection: the dialer's proof";
constexpr std::string_view kAcceptorDomain = "muster data connection: the acceptor's proof";

struct Hello {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t channel;
  std::int64_t membership;
  std::int32_t dialer;
  std::int32_t acceptor;
  std::int32_t size;
  std::uint32_t reserved;
  char uid[kUidBytes];  // filled with zeros
  Nonce nonce;
};
static_assert(sizeof(Hello) == 136);

struct Reply {
  enum class Kind : std::uint32_t { kChallenge = 1, kWelcome = 2, kRefused = 3 };
  std::uint64_t magic;
  Kind kind;
  std::uint32_t refusal;            // of kRefused, else 0
  std::array<std::byte, 32> bytes;  // nonce, proof or zeros
};
static_assert(sizeof(Reply) == 48);

template <typename Message>
std::vector<std::byte> bytes_of(const Message& message) {
  const auto bytes = std::as_bytes(std::span(&message, 1));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> reply(Reply::Kind kind, const std::array<std::byte, 32>& bytes) {
  return bytes_of(Reply{.magic = kReplyMagic, .kind = kind, .refusal = 0, .bytes = bytes});
}

void copy_uid(const std::string& uid, char (&to)[kUidBytes]) {
  std::memset(to, 0, kUidBytes);
  std::memcpy(to, uid.data(), std::min(uid.size(), kUidBytes - 1));
}

Hello hello_of(const Link& link, const Nonce& nonce) {
  Hello hello{};
  hello.magic = kHelloMagic;
  hello.version = kVersion;
  hello.channel = link.line.channel;
  hello.membership = link.membership;
  hello.dialer = link.line.dialer;
  hello.acceptor = link.line.acceptor;
  hello.size = link.size;
  copy_uid(link.job_uid, hello.uid);
  hello.nonce = nonce;
  return hello;
}

}  // namespace

bool is_line(const Line& line, int size) {
  const auto is_rank = [&](int rank) { return rank >= 0 && rank < size; };
  if (!is_rank(line.dialer) || !is_rank(line.acceptor)) return false;
  if (line.channel == kWatchChannel) return (line.dialer + 1) % size == line.acceptor;
  return line.channel == kDataChannel && line.dialer != line.acceptor;
}

std::vector<std::byte> encode_refusal(Refusal refusal) {
  return bytes_of(Reply{.magic = kReplyMagic,
                        .kind = Reply::Kind::kRefused,
                        .refusal = static_cast<std::uint32_t>(refusal),
                        .bytes = {}});
}

Handshake::Handshake(Role role, Link link, const MembershipKey& key, const Nonce& nonce)
    : role_(role),
      link_(std::move(link)),
      key_(hmac_sha256(key, std::as_bytes(std::span(kKeyPurpose)))),
      challenge_(nonce) {
  const auto is_rank = [&](int rank) { return rank >= 0 && rank < link_.size; };
  MUSTER_CHECK(is_rank(link_.line.dialer) && is_rank(link_.line.acceptor));
  if (role_ == Role::kDialer) hello_ = bytes_of(hello_of(link_, nonce));
}

std::vector<std::byte> Handshake::begin() const { return hello_; }

std::size_t Handshake::expected() const {
  if (state_ != State::kRunning) return 0;
  if (role_ == Role::kDialer) return sizeof(Reply);
  return messages_ == 0 ? sizeof(Hello) : sizeof(Mac);
}

std::vector<std::byte> Handshake::heard(std::span<const std::byte> message) {
  MUSTER_CHECK(state_ == State::kRunning && message.size() == expected());
  ++messages_;
  if (role_ == Role::kDialer) return read_reply(message);
  return messages_ == 1 ? check_hello(message) : check_proof(message);
}

std::vector<std::byte> Handshake::check_hello(std::span<const std::byte> message) {
  Hello hello{};
  std::memcpy(&hello, message.data(), sizeof hello);
  if (hello.magic != kHelloMagic) return refuse(Refusal::kGarbage);
  if (hello.version != kVersion) {
    return refuse(Refusal::kVersion,
                  fmt::format("the caller speaks version {} of the data protocol, this worker {}; use one "
                              "image for all workers",
                              hello.version, kVersion));
  }
  Link said = link_;
  said.line.dialer = hello.dialer;
  said.line.channel = hello.channel;
  const Hello wanted = hello_of(said, hello.nonce);
  if (std::memcmp(hello.uid, wanted.uid, kUidBytes) != 0) return refuse(Refusal::kJob);
  if (hello.membership != wanted.membership) {
    return refuse(Refusal::kMembership, fmt::format("the caller is of membership {}, this worker of {}",
                                                    hello.membership, wanted.membership));
  }
  if (!is_line(said.line, link_.size) || std::memcmp(&hello, &wanted, sizeof hello) != 0) {
    return refuse(Refusal::kRank,
                  fmt::format("the caller is rank {} of {} and wants rank {} (channel {}): no call for this "
                              "worker, rank {} of {}",
                              hello.dialer, hello.size, hello.acceptor, hello.channel, link_.line.acceptor,
                              link_.size));
  }
  link_ = said;
  hello_.assign(message.begin(), message.end());
  return reply(Reply::Kind::kChallenge, challenge_);
}

std::vector<std::byte> Handshake::check_proof(std::span<const std::byte> message) {
  Mac given{};
  std::memcpy(given.data(), message.data(), given.size());
  if (!equal_in_constant_time(given, proof(Role::kDialer))) return refuse(Refusal::kProof);
  state_ = State::kProven;
  return reply(Reply::Kind::kWelcome, proof(Role::kAcceptor));
}

std::vector<std::byte> Handshake::read_reply(std::span<const std::byte> message) {
  Reply reply{};
  std::memcpy(&reply, message.data(), sizeof reply);
  if (reply.magic != kReplyMagic) return refuse(Refusal::kGarbage);
  if (reply.kind == Reply::Kind::kRefused) {
    refusal_ = static_cast<Refusal>(reply.refusal);
    if (std::find(kRefusals.begin(), kRefusals.end(), refusal_) == kRefusals.end())
      return refuse(Refusal::kGarbage);
    state_ = State::kRefusedByPeer;
    problem_ = sentence_of(refusal_);
    return {};
  }
  const auto wanted = messages_ == 1 ? Reply::Kind::kChallenge : Reply::Kind::kWelcome;
  if (reply.kind != wanted || reply.refusal != 0) return refuse(Refusal::kGarbage);
  if (messages_ == 1) {
    challenge_ = reply.bytes;
    const Mac mine = proof(Role::kDialer);
    return {mine.begin(), mine.end()};
  }
  if (!equal_in_constant_time(reply.bytes, proof(Role::kAcceptor))) return refuse(Refusal::kProof);
  state_ = State::kProven;
  return {};
}

std::array<std::byte, 32> Handshake::proof(Role of) const {
  MUSTER_CHECK(hello_.size() == sizeof(Hello));  // a proof of nothing would fit every link
  const auto domain = std::as_bytes(std::span(of == Role::kDialer ? kDialerDomain : kAcceptorDomain));
  std::vector<std::byte> message(domain.begin(), domain.end());
  message.push_back(std::byte{0});  // no domain is the beginning of another
  message.insert(message.end(), hello_.begin(), hello_.end());
  message.insert(message.end(), challenge_.begin(), challenge_.end());
  return hmac_sha256(key_, message);
}

std::vector<std::byte> Handshake::refuse(Refusal refusal, std::string problem) {
  state_ = State::kRefused;
  refusal_ = refusal;
  problem_ = problem.empty() ? std::string(sentence_of(refusal)) : std::move(problem);
  return role_ == Role::kAcceptor ? encode_refusal(refusal) : std::vector<std::byte>{};
}

}  // namespace muster::worker
