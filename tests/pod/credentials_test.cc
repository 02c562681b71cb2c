// tests/pod/credentials_test.cc: names of peers, and credentials from files and from memory
#include "pod/credentials.h"

#include <gmock/gmock.h>

#include "tests/support/temporary_folder.h"
#include "tests/support/test_pki.h"

namespace muster {
namespace {

using testing::HasSubstr;

const WallTime kNow = std::chrono::system_clock::now();
const PeerName kWorker{.role = "worker", .index = 3, .uid = "5a1c0b3e-0d6f-4a55-9f0a-0123456789ab"};

TEST(PeerName, IsWrittenAndReadBack) {
  EXPECT_EQ(dns_name(kWorker), "worker-3.5a1c0b3e-0d6f-4a55-9f0a-0123456789ab.muster.dev");
  EXPECT_EQ(dns_name(operator_name()), "operator.muster.dev");
  for (const PeerName& name : {kWorker, operator_name(), PeerName{"client", 0, "u-1"}})
    EXPECT_EQ(parse_dns_name(dns_name(name)), name);
  EXPECT_TRUE(operator_name().is_operator());
  EXPECT_FALSE((PeerName{"operator", 0, "u-1"}).is_operator());
}

TEST(PeerName, OtherFormsAreNobody) {
  for (const char* dns :
       {"", "muster.dev", ".muster.dev", "operator", "operator.muster.dev.example.com",
        "worker.u-1.muster.dev", "worker-.u-1.muster.dev", "worker-x.u-1.muster.dev",
        "worker-01.u-1.muster.dev", "worker-+1.u-1.muster.dev", "worker--1.u-1.muster.dev",
        "-1.u-1.muster.dev", "worker-1..muster.dev", "worker-1.u.2.muster.dev", "*.u-1.muster.dev",
        "Worker-1.u-1.muster.dev", "worker-99999999999999999999.u-1.muster.dev"})
    EXPECT_EQ(parse_dns_name(dns), std::nullopt) << dns;
}

TEST(Credentials, AreReadFromAFolder) {
  const TestPki pki;
  const TemporaryFolder folder;
  pki.write(folder.path(), kWorker);
  const auto credentials = Credentials::load(folder.path(), kNow);
  ASSERT_TRUE(credentials) << credentials.error().message;
  EXPECT_EQ(credentials->name(), kWorker);
  EXPECT_TRUE(credentials->check_name("worker", 3, kWorker.uid));
}

TEST(Credentials, AMissingFileIsNamed) {
  const TestPki pki;
  for (const char* file : {kKeyFile, kCertificateFile, kAuthorityFile}) {
    const TemporaryFolder folder;
    pki.write(folder.path(), kWorker);
    std::filesystem::remove(folder.path() / file);
    const auto credentials = Credentials::load(folder.path(), kNow);
    ASSERT_FALSE(credentials);
    EXPECT_EQ(credentials.error().code, Code::kNotFound);
    EXPECT_THAT(credentials.error().message, HasSubstr((folder.path() / file).string()));
  }
}

TEST(Credentials, WhatCannotProveANameIsRefused) {
  const TestPki pki;
  const TestPki other;
  const auto code_of = [](Credentials::Pem pem) {
    const auto made = Credentials::from_pem(std::move(pem), kNow);
    return made ? Code::kOk : made.error().code;
  };
  Credentials::Pem foreign = pki.pem(kWorker);
  foreign.authority = other.authority().certificate();
  EXPECT_EQ(code_of(foreign), Code::kUnauthenticated);
  Credentials::Pem unpaired = pki.pem(kWorker);
  unpaired.key = pki.pem(kWorker).key;
  EXPECT_EQ(code_of(unpaired), Code::kInvalidArgument);
  EXPECT_EQ(code_of(pki.expired(kWorker)), Code::kOutOfRange);
  EXPECT_EQ(code_of(pki.pem("www.example.com")), Code::kInvalidArgument);
  EXPECT_EQ(code_of({}), Code::kInvalidArgument);
}

TEST(Credentials, OfAnotherPodAreRefusedWithBothNames) {
  const TestPki pki;
  const Credentials credentials = pki.of(kWorker);
  for (const PeerName& pod : {PeerName{"worker", 4, kWorker.uid}, PeerName{"client", 3, kWorker.uid},
                              PeerName{"worker", 3, "another"}}) {
    const Status checked = credentials.check_name(pod.role, pod.index, pod.uid);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, Code::kUnauthenticated);
    EXPECT_THAT(checked.error().message, HasSubstr(dns_name(kWorker)));
    EXPECT_THAT(checked.error().message, HasSubstr(dns_name(pod)));
  }
}

}  // namespace
}  // namespace muster
