// tests/worker/handshake_test.cc: proofs that hold, and everything else that an end may be told
#include "worker/transport/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "common/base/random.h"
#include "worker/transport/line_limit.h"

namespace muster::worker {
namespace {

using Role = Handshake::Role;
using State = Handshake::State;
using Bytes = std::vector<std::byte>;

const Link kLink{.job_uid = "u-1", .membership = 3, .line = {.dialer = 1, .acceptor = 2}, .size = 4};

std::array<std::byte, 32> filled(int value) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(static_cast<std::byte>(value));
  return bytes;
}
const MembershipKey kKey = filled(7);

Handshake dialer(const Link& link = kLink, const MembershipKey& key = kKey, int nonce = 1) {
  return {Role::kDialer, link, key, filled(nonce)};
}
Handshake acceptor(const Link& link = kLink, const MembershipKey& key = kKey, int nonce = 2) {
  return {Role::kAcceptor, link, key, filled(nonce)};
}

// Carries messages between the ends until neither has one; `tamper` may change the n-th, counted from 0.
using Tamper = std::function<void(int, Bytes&)>;
std::vector<Bytes> carry(Handshake& from, Handshake& to, const Tamper& tamper = {}) {
  std::vector<Bytes> carried;
  Handshake* hears = &to;
  Handshake* says = &from;
  for (Bytes message = from.begin(); !message.empty() && hears->expected() > 0; std::swap(hears, says)) {
    if (tamper) tamper(static_cast<int>(carried.size()), message);
    carried.push_back(message);
    message = hears->heard(message);
  }
  return carried;
}

TEST(Handshake, BothEndsProveThemselvesInFourMessages) {
  Handshake one = dialer();
  Handshake other = acceptor();
  const auto carried = carry(one, other);
  EXPECT_EQ(one.state(), State::kProven);
  EXPECT_EQ(other.state(), State::kProven);
  EXPECT_EQ(one.expected(), 0U);
  EXPECT_EQ(other.expected(), 0U);
  EXPECT_EQ(carried.size(), 4U);
}

struct Wrong {
  const char* name;
  std::function<void(Link&, MembershipKey&)> change;
  Refusal refusal;
  const char* problem;
};

TEST(Handshake, RefusesWhoeverIsNotTheExpectedMember) {
  const Wrong table[] = {
      {"job", [](Link& link, auto&) { link.job_uid = "u-2"; }, Refusal::kJob,
       "the caller belongs to another job"},
      {"membership", [](Link& link, auto&) { link.membership = 2; }, Refusal::kMembership,
       "the caller is of membership 2, this worker of 3"},
      {"rank", [](Link& link, auto&) { link.line.dialer = 3; }, Refusal::kRank,
       "the caller is rank 3 of 4 and wants rank 2 (channel 0): no call for this worker, rank 2 of 4"},
      {"wanted rank", [](Link& link, auto&) { link.line.acceptor = 3; }, Refusal::kRank, nullptr},
      {"size", [](Link& link, auto&) { link.size = 5; }, Refusal::kRank, nullptr},
      {"channel", [](Link& link, auto&) { link.line.channel = 2; }, Refusal::kRank, nullptr},
      {"key", [](Link&, MembershipKey& key) { key[31] ^= std::byte{1}; }, Refusal::kProof,
       "its proof of membership is wrong"}};
  for (const Wrong& wrong : table) {
    Link link = kLink;
    MembershipKey key = kKey;
    wrong.change(link, key);
    Handshake one = dialer(link, key);
    Handshake other = acceptor();
    carry(one, other);
    EXPECT_EQ(other.state(), State::kRefused) << wrong.name;
    EXPECT_EQ(other.refusal(), wrong.refusal) << wrong.name;
    if (wrong.problem != nullptr) {
      EXPECT_EQ(other.problem(), wrong.problem);
    }
    EXPECT_EQ(one.state(), State::kRefusedByPeer) << wrong.name;
    EXPECT_EQ(one.refusal(), wrong.refusal) << wrong.name;
    EXPECT_EQ(one.problem(), sentence_of(wrong.refusal)) << wrong.name;
  }
}

TEST(Handshake, AnotherVersionIsNamed) {
  Handshake one = dialer();
  Handshake other = acceptor();
  carry(one, other, [](int index, Bytes& message) {
    if (index == 0) message[8] = std::byte{9};  // behind the magic number
  });
  EXPECT_EQ(other.refusal(), Refusal::kVersion);
  EXPECT_THAT(other.problem(), testing::HasSubstr("version 9 of the data protocol, this worker 5"));
}

TEST(Handshake, WhatWasHeardOnceProvesNothingAgain) {
  Handshake one = dialer();
  Handshake heard = acceptor();
  const auto carried = carry(one, heard);
  ASSERT_EQ(heard.state(), State::kProven);
  Handshake next = acceptor(kLink, kKey, 3);
  (void)next.heard(carried[0]);
  ASSERT_EQ(next.state(), State::kRunning) << "a hello alone is no secret";
  (void)next.heard(carried[2]);
  EXPECT_EQ(next.state(), State::kRefused);
  EXPECT_EQ(next.refusal(), Refusal::kProof);
  Handshake caller = dialer(kLink, kKey, 3);  // the same of the acceptor's part
  (void)caller.heard(carried[1]);
  (void)caller.heard(carried[3]);
  EXPECT_EQ(caller.state(), State::kRefused);
  EXPECT_EQ(caller.refusal(), Refusal::kProof);
}

TEST(Handshake, WhatAnEndSaidItselfProvesNothingToIt) {
  Handshake one = dialer();
  Bytes hello = one.begin();
  hello.resize(one.expected());
  (void)one.heard(hello);
  EXPECT_EQ(one.refusal(), Refusal::kGarbage);

  Handshake two = dialer();
  Handshake other = acceptor();
  Bytes challenge = other.heard(two.begin());
  const Bytes proof = two.heard(challenge);
  Bytes welcome = challenge;
  welcome[8] = std::byte{2};  // the kind
  std::copy(proof.begin(), proof.end(), welcome.begin() + 16);
  (void)two.heard(welcome);
  EXPECT_EQ(two.state(), State::kRefused);
  EXPECT_EQ(two.refusal(), Refusal::kProof);
}

TEST(Handshake, AnAcceptorShowsNoProofToACallerThatHasGivenNone) {
  Handshake other = acceptor();
  const Bytes challenge = other.heard(dialer().begin());
  const Nonce nonce = filled(2);
  ASSERT_EQ(challenge.size(), 48U);
  EXPECT_TRUE(std::equal(nonce.begin(), nonce.end(), challenge.begin() + 16)) << "its nonce and nothing else";
}

TEST(Handshake, ADialerRefusesAnAcceptorWithoutTheKey) {
  Handshake one = dialer();
  Handshake impostor = acceptor(kLink, filled(8));
  const Bytes challenge = impostor.heard(one.begin());
  (void)one.heard(challenge);
  Bytes welcome = challenge;
  welcome[8] = std::byte{2};
  (void)one.heard(welcome);
  EXPECT_EQ(one.state(), State::kRefused);
  EXPECT_EQ(one.refusal(), Refusal::kProof);
}

TEST(Handshake, NoChangedBitOfAnyMessageLetsBothThrough) {
  Handshake one = dialer();
  Handshake other = acceptor();
  const auto carried = carry(one, other);
  for (std::size_t message = 0; message < carried.size(); ++message) {
    for (std::size_t bit = 0; bit < carried[message].size() * 8; ++bit) {
      Handshake from = dialer();
      Handshake to = acceptor();
      carry(from, to, [&](int index, Bytes& bytes) {
        if (index == static_cast<int>(message)) bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      });
      EXPECT_NE(from.state(), State::kProven) << "message " << message << " bit " << bit;
      if (message < 3) {
        EXPECT_NE(to.state(), State::kProven) << "message " << message << " bit " << bit;
      }
    }
  }
}

TEST(Handshake, RandomBytesAreGarbageToBothEnds) {
  Random random(11);
  for (int i = 0; i < 1000; ++i) {
    for (Handshake end : {dialer(), acceptor()}) {
      Bytes bytes(end.expected());
      for (auto& byte : bytes) byte = static_cast<std::byte>(random.next());
      (void)end.heard(bytes);
      EXPECT_EQ(end.state(), State::kRefused);
      EXPECT_EQ(end.refusal(), Refusal::kGarbage);
    }
  }
}

TEST(Handshake, EveryRefusalHasALabelAndASentenceAndCrossesTheWire) {
  std::set<std::string_view> labels;
  std::set<std::string_view> sentences;
  for (const Refusal refusal : kRefusals) {
    labels.insert(label_of(refusal));
    sentences.insert(sentence_of(refusal));
    Handshake one = dialer();
    (void)one.heard(encode_refusal(refusal));
    EXPECT_EQ(one.state(), State::kRefusedByPeer);
    EXPECT_EQ(one.refusal(), refusal);
  }
  EXPECT_EQ(labels.size(), kRefusals.size());
  EXPECT_EQ(sentences.size(), kRefusals.size());
}

TEST(LineLimit, LetsOneLineOfAKindThroughInItsIntervalAndCountsTheOthers) {
  LineLimit limit;
  const Instant start{};
  EXPECT_EQ(limit.pass(1, start), 0U);
  EXPECT_EQ(limit.pass(1, start), std::nullopt);
  EXPECT_EQ(limit.pass(2, start), 0U) << "another kind";
  EXPECT_EQ(limit.pass(1, start + LineLimit::kInterval - std::chrono::milliseconds(1)), std::nullopt);
  EXPECT_EQ(limit.pass(1, start + LineLimit::kInterval), 2U);
  EXPECT_EQ(limit.pass(1, start + LineLimit::kInterval * 2), 0U);
}

}  // namespace
}  // namespace muster::worker
