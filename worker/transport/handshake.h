#pragma once  // worker/transport/handshake.h: how both ends of a data connection prove that they belong
              // together; decides, does no I/O
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "worker/transport/refusal.h"

namespace muster::worker {

using MembershipKey = std::array<std::byte, 32>;  // of the assignment; all ranks of a membership have it
using Nonce = std::array<std::byte, 32>;          // random, of one connection

// The connections of a mesh: the watch's, from each rank to the next, and for data one from each rank to each
// other to which it sends. Data goes one way on each: two ranks that send to each other at once would contend
// for the one socket.
inline constexpr std::uint32_t kWatchChannel = 0;
inline constexpr std::uint32_t kDataChannel = 1;
struct Line {
  int dialer = 0;  // ranks
  int acceptor = 0;
  std::uint32_t channel = kWatchChannel;
  friend bool operator==(const Line&, const Line&) = default;
  friend bool operator<(const Line& a, const Line& b) {
    return std::tie(a.dialer, a.acceptor, a.channel) < std::tie(b.dialer, b.acceptor, b.channel);
  }
};
[[nodiscard]] bool is_line(const Line& line, int size);
struct Link {           // what is proved: who dials whom
  std::string job_uid;  // its first 63 bytes; the key depends on all of it
  std::int64_t membership = 1;
  Line line{};
  int size = 1;
};

// One end of one connection:
//
//   dialer                              acceptor
//     hello: the link, its nonce  ->
//                                 <-      challenge: its nonce
//     proof                       ->
//                                 <-      welcome: proof
//
// A proof is HMAC-SHA256 over a text that names the end, the hello as it was sent, and the acceptor's nonce.
// So bytes that are replayed (another nonce), reflected (the other end's text), or of another job,
// membership, rank or channel prove nothing; and who cannot prove learns nothing but a nonce. See
// docs/adr/0007.
class Handshake {
 public:
  enum class Role { kDialer, kAcceptor };
  enum class State {
    kRunning,
    kProven,   // the other end is who it should be, and `heard` has returned all that it needs to know the
               // same
    kRefused,  // by this end
    kRefusedByPeer,
  };

  // Of an acceptor's `link` the dialer and the channel do not matter: any line that leads to it may prove
  // itself.
  Handshake(Role role, Link link, const MembershipKey& key, const Nonce& nonce);

  [[nodiscard]] std::vector<std::byte> begin() const;  // what this end says first, if it does
  // Bytes of the message that comes next; none after the end.
  [[nodiscard]] std::size_t expected() const;
  // Takes that message, of exactly so many bytes; returns what is to be sent, also after the end.
  [[nodiscard]] std::vector<std::byte> heard(std::span<const std::byte> message);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const Link& link() const { return link_; }               // once proven
  [[nodiscard]] Refusal refusal() const { return refusal_; }             // once refused
  [[nodiscard]] const std::string& problem() const { return problem_; }  // the same for people, with numbers

 private:
  [[nodiscard]] std::vector<std::byte> check_hello(std::span<const std::byte> message);
  [[nodiscard]] std::vector<std::byte> check_proof(std::span<const std::byte> message);
  [[nodiscard]] std::vector<std::byte> read_reply(std::span<const std::byte> message);
  [[nodiscard]] std::array<std::byte, 32> proof(Role of) const;
  std::vector<std::byte> refuse(Refusal refusal, std::string problem = {});

  Role role_;
  Link link_;
  std::array<std::byte, 32> key_;  // for proofs
  std::vector<std::byte> hello_;   // as it was sent
  Nonce challenge_;                // the acceptor's
  int messages_ = 0;               // heard so far
  State state_ = State::kRunning;
  Refusal refusal_ = Refusal::kGarbage;
  std::string problem_;
};

// What an acceptor sends instead of a welcome to refuse for a reason that lies outside of the handshake.
[[nodiscard]] std::vector<std::byte> encode_refusal(Refusal refusal);

}  // namespace muster::worker
