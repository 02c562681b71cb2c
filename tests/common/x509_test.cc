// tests/common/x509_test.cc: authorities, leaves and derived keys
#include "common/crypto/x509.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>

#include <set>

#include "common/crypto/hkdf.h"

namespace muster {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;

const WallTime kNow = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());

KeyPair authority_pair() {
  auto pair = make_authority("Muster CA", kNow);
  EXPECT_TRUE(pair) << pair.error().message;
  return *pair;
}

TEST(X509, ALeafIsItsAuthoritysAndNamesOnePeer) {
  const auto authority = Authority::load(authority_pair());
  ASSERT_TRUE(authority) << authority.error().message;
  const auto leaf = authority->issue("worker-3.u-1.muster.dev", kNow);
  ASSERT_TRUE(leaf);
  EXPECT_TRUE(check_pair(*leaf));
  const auto names = verified_dns_names(leaf->certificate, authority->certificate(), kNow);
  ASSERT_TRUE(names) << names.error().message;
  EXPECT_THAT(*names, ElementsAre("worker-3.u-1.muster.dev"));
}

std::string as_openssl_writes(const std::string& key_pem) {
  BIO* const from = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(from, nullptr, nullptr, nullptr);
  BIO* const to = BIO_new(BIO_s_mem());
  EXPECT_EQ(PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(to, &data);
  std::string written(data, static_cast<std::size_t>(size));
  BIO_free(from);
  BIO_free(to);
  EVP_PKEY_free(key);
  return written;
}

// So many that some private keys are short numbers (one of 256 begins with a zero byte).
TEST(X509, KeysAreWrittenAsOpenSslWritesThemAndNoneTwice) {
  constexpr std::size_t kLeaves = 600;
  const auto authority = Authority::load(authority_pair());
  std::set<std::string> keys;
  for (std::size_t i = 0; i < kLeaves; ++i) {
    const auto leaf = authority->issue("worker-0.u-1.muster.dev", kNow);
    ASSERT_TRUE(leaf) << leaf.error().message;
    EXPECT_EQ(leaf->key, as_openssl_writes(leaf->key));
    keys.insert(leaf->key);
  }
  EXPECT_EQ(keys.size(), kLeaves);
}

TEST(X509, ALeafLivesFromAnHourAgoToTheEndOfItsAuthority) {
  const auto authority = Authority::load(authority_pair());
  const auto leaf = authority->issue("operator.muster.dev", kNow);
  EXPECT_EQ(authority->end(), kNow + kAuthorityLife);
  const auto at = [&](WallTime when) {
    const auto names = verified_dns_names(leaf->certificate, authority->certificate(), when);
    return names ? Code::kOk : names.error().code;
  };
  EXPECT_EQ(at(kNow - kClockSkew - hours(1)), Code::kOutOfRange);
  EXPECT_EQ(at(kNow - kClockSkew + hours(1)), Code::kOk);
  EXPECT_EQ(at(authority->end() - hours(1)), Code::kOk);
  EXPECT_EQ(at(authority->end() + hours(1)), Code::kOutOfRange);
}

TEST(X509, ALeafOfAnotherAuthorityIsRefusedThoughItsNameIsTheSame) {
  const auto mine = Authority::load(authority_pair());
  const auto other = Authority::load(authority_pair());
  EXPECT_NE(mine->id(), other->id());
  const auto leaf = other->issue("worker-0.u-1.muster.dev", kNow);
  const auto names = verified_dns_names(leaf->certificate, mine->certificate(), kNow);
  ASSERT_FALSE(names);
  EXPECT_EQ(names.error().code, Code::kUnauthenticated);
}

TEST(X509, ALeafSignsNoOtherLeaf) {
  const auto authority = Authority::load(authority_pair());
  const auto leaf = authority->issue("worker-0.u-1.muster.dev", kNow);
  const auto as_authority = Authority::load(*leaf);
  ASSERT_FALSE(as_authority);
  EXPECT_EQ(as_authority.error().code, Code::kInvalidArgument);
}

TEST(X509, AnAuthorityIsReadBackAsItWas) {
  const KeyPair pair = authority_pair();
  const auto one = Authority::load(pair);
  const auto two = Authority::load(pair);
  EXPECT_EQ(one->id(), two->id());
  EXPECT_EQ(one->id(), *authority_id(pair.certificate));
  EXPECT_EQ(one->id().size(), 8U);
}

TEST(X509, BrokenInputsAreNamedAndQuoteNoKey) {
  const KeyPair pair = authority_pair();
  const auto other = authority_pair();
  for (const KeyPair& bad : {KeyPair{"", pair.certificate}, KeyPair{pair.key, ""},
                             KeyPair{pair.certificate, pair.key}, KeyPair{other.key, pair.certificate},
                             KeyPair{pair.key.substr(0, pair.key.size() / 2), pair.certificate}}) {
    const auto loaded = Authority::load(bad);
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Code::kInvalidArgument);
    EXPECT_THAT(loaded.error().message, testing::Not(HasSubstr("BEGIN")));
  }
  EXPECT_EQ(authority_id("junk").error().code, Code::kInvalidArgument);
  EXPECT_EQ(verified_dns_names("junk", pair.certificate, kNow).error().code, Code::kInvalidArgument);
}

TEST(X509, ALoneServerIsKnownByItsOwnCertificateUntilItsEnd) {
  const auto server = make_lone_server("an API server", {"localhost", "127.0.0.1", "::1"}, kNow, hours(24));
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_TRUE(check_pair(*server));
  const auto names = verified_dns_names(server->certificate, server->certificate, kNow);
  ASSERT_TRUE(names) << names.error().message;
  EXPECT_THAT(*names, ElementsAre("localhost")) << "the others are addresses";
  EXPECT_EQ(verified_dns_names(server->certificate, server->certificate, kNow + hours(25)).error().code,
            Code::kOutOfRange);
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

TEST(Hkdf, MatchesRfc5869) {  // appendix A.3: no salt, no info
  const auto key = hkdf_sha256(std::string(22, '\x0b'), "", 42);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(*key, from_hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
                           "9d201395faa4b61a96c8"));
}

TEST(Hkdf, DependsOnItsPurpose) {
  const std::string key(32, 'k');
  EXPECT_EQ(*hkdf_sha256(key, "a", 32), *hkdf_sha256(key, "a", 32));
  EXPECT_NE(*hkdf_sha256(key, "a", 32), *hkdf_sha256(key, "b", 32));
}

TEST(RandomKey, IsNeverTheSame) { EXPECT_NE(*random_key(32), *random_key(32)); }

}  // namespace
}  // namespace muster
