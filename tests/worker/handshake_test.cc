// tests/worker/handshake_test.cc: greetings that fit, that do not, and bytes that are none
#include "worker/transport/handshake.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace muster::worker {
namespace {

const RingIdentity kSelf{.job_uid = "u-1", .membership = 3, .rank = 2, .size = 4};

RingIdentity predecessor() {
  RingIdentity identity = kSelf;
  identity.rank = 1;
  return identity;
}

TEST(Handshake, TakesThePredecessor) { EXPECT_TRUE(check_hello(encode_hello(predecessor(), 0), kSelf)); }

TEST(Handshake, SaysWhatDoesNotFit) {
  const auto message = [](const RingIdentity& peer) {
    return check_hello(encode_hello(peer, 0), kSelf).error().message;
  };
  RingIdentity peer = predecessor();
  peer.membership = 2;
  EXPECT_EQ(message(peer), "the peer is of incarnation 2, this worker of 3");
  peer = predecessor();
  peer.job_uid = "u-2";
  EXPECT_EQ(message(peer), "the peer belongs to another job");
  peer = predecessor();
  peer.size = 5;
  EXPECT_EQ(message(peer), "the peer is rank 1 of 5 (link 0), expected is rank 1 of 4 (link 0)");
  peer = predecessor();
  peer.rank = 3;
  EXPECT_EQ(message(peer), "the peer is rank 3 of 4 (link 0), expected is rank 1 of 4 (link 0)");
}

TEST(Handshake, RefusesEveryChangedBit) {
  const HelloBytes hello = encode_hello(predecessor(), 0);
  for (std::size_t bit = 0; bit < hello.size() * 8; ++bit) {
    HelloBytes changed = hello;
    changed[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(check_hello(changed, kSelf)) << "bit " << bit;
  }
}

TEST(Handshake, ANoteArrivesCutAndWithoutControlCharacters) {
  const auto note = decode_note(
      encode_note({.kind = Note::Kind::kLost, .reason = data_loss("a\nb" + std::string(1000, 'x'))}));
  ASSERT_TRUE(note);
  EXPECT_EQ(note->kind, Note::Kind::kLost);
  EXPECT_EQ(note->reason, data_loss("a?b" + std::string(237, 'x')));
}

TEST(Handshake, RandomBytesAreNoNote) {
  Random random(11);
  for (int i = 0; i < 1000; ++i) {
    NoteBytes bytes;
    for (auto& byte : bytes) byte = static_cast<std::byte>(random.next());
    EXPECT_FALSE(decode_note(bytes));
  }
}

}  // namespace
}  // namespace muster::worker
