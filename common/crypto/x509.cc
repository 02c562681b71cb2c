// common/crypto/x509.cc: certificates of Muster's own authority: made, read and checked
#include "common/crypto/x509.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "common/base/hex.h"
#include "common/crypto/openssl.h"

namespace muster {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Extension;
using openssl::Key;
using openssl::KeyContext;

constexpr int kSerialBytes = 16;
constexpr std::size_t kIdBytes = 4;
constexpr int kScalarBytes = 32;         // of P-256: the private key
constexpr std::size_t kPointBytes = 65;  // the public one, uncompressed
using Point = std::array<unsigned char, kPointBytes>;
struct NewKey {
  Key key;
  Point point{};
};
// PKCS#8 (RFC 5958) around an ECPrivateKey (RFC 5915) of P-256: what comes before the scalar, and between it
// and the point.
constexpr std::string_view kBeforeScalar(
    "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"
    "\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20",
    36);
constexpr std::string_view kBeforePoint("\xa1\x44\x03\x42\x00", 5);
// Extensions that every leaf has.
constexpr std::array<std::pair<int, const char*>, 4> kOfLeaves{
    {{NID_basic_constraints, "critical,CA:FALSE"},
     {NID_key_usage, "critical,digitalSignature"},
     {NID_ext_key_usage, "serverAuth,clientAuth"},
     {NID_authority_key_identifier, "keyid:always"}}};

Error failure(const char* what) { return internal_error(fmt::format("OpenSSL cannot {}", what)); }

Bio reader(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

Result<Certificate> read_certificate(const std::string& pem) {
  const Bio bio = reader(pem);
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!certificate) return invalid_argument("not a certificate in PEM");
  return certificate;
}

Result<Key> read_key(const std::string& pem) {
  const Bio bio = reader(pem);
  const auto no_password = [](char*, int, int, void*) { return 0; };
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!key) return invalid_argument("not a private key in PEM");
  return key;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

KeyContext key_context() {
  KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  if (context &&
      (EVP_PKEY_keygen_init(context.get()) != 1 || EVP_PKEY_CTX_set_group_name(context.get(), "P-256") != 1))
    context.reset();
  return context;
}

// A new P-256 key.
Result<NewKey> make_key() {
  thread_local KeyContext context;  // making it takes as long as making a key
  if (!context) context = key_context();
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_generate(context.get(), &key) != 1) return failure("make a key");
  NewKey made{.key = Key(key)};
  std::size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, made.point.data(), made.point.size(),
                                      &size) != 1 ||
      size != made.point.size())
    return failure("read a key");
  return made;
}

// As PEM_write_bio_PrivateKey, byte for byte, which takes three times as long as making the key: it looks for
// an encoder among all there are, each time.
bool write_key(BIO* bio, EVP_PKEY* key, const Point& point) {
  std::array<unsigned char, kBeforeScalar.size() + kScalarBytes + kBeforePoint.size() + kPointBytes> der{};
  BIGNUM* scalar = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) != 1) return false;
  auto* const at = std::copy(kBeforeScalar.begin(), kBeforeScalar.end(), der.begin());
  std::copy(point.begin(), point.end(),
            std::copy(kBeforePoint.begin(), kBeforePoint.end(), at + kScalarBytes));
  const bool written = BN_bn2binpad(scalar, at, kScalarBytes) == kScalarBytes &&
                       PEM_write_bio(bio, PEM_STRING_PKCS8INF, "", der.data(), der.size()) > 0;
  BN_clear_free(scalar);
  OPENSSL_cleanse(der.data(), der.size());
  return written;
}

Result<KeyPair> write_pair(const NewKey& key, X509* certificate) {
  const Bio key_bio(BIO_new(BIO_s_secmem()));
  const Bio certificate_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_bio.get(), certificate) != 1 ||
      !write_key(key_bio.get(), key.key.get(), key.point))
    return failure("write a certificate");
  return KeyPair{text_of(key_bio.get()), text_of(certificate_bio.get())};
}

Extension extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  return Extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
}

// Adds a copy of it.
bool add(X509* certificate, const Extension& extension) {
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  std::array<unsigned char, kSerialBytes> serial{};
  if (RAND_bytes(serial.data(), kSerialBytes) != 1) return false;
  serial[0] &= 0x7f;  // positive
  BIGNUM* number = BN_bin2bn(serial.data(), kSerialBytes, nullptr);
  const bool set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

bool set_time(ASN1_TIME* field, WallTime when) {
  return ASN1_TIME_set(field, std::chrono::system_clock::to_time_t(when)) != nullptr;
}

bool set_name(X509_NAME* name, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                                    0) == 1;
}

// As X509_set_pubkey, which takes six times as long as making the key: it writes it down and reads it again.
bool set_public_key(X509* certificate, const Point& point) {
  auto* owned = static_cast<unsigned char*>(OPENSSL_memdup(point.data(), point.size()));
  if (owned != nullptr &&
      X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), OBJ_nid2obj(NID_X9_62_id_ecPublicKey),
                             V_ASN1_OBJECT, OBJ_nid2obj(NID_X9_62_prime256v1), owned,
                             static_cast<int>(point.size())) == 1)
    return true;
  OPENSSL_free(owned);
  return false;
}

// Version 3, serial, validity and key; the caller adds names and extensions and signs.
Certificate blank(const NewKey& key, WallTime from, WallTime to) {
  Certificate certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      !set_serial(certificate.get()) || !set_time(X509_getm_notBefore(certificate.get()), from) ||
      !set_time(X509_getm_notAfter(certificate.get()), to) || !set_public_key(certificate.get(), key.point))
    return nullptr;
  return certificate;
}

std::string id_of(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  return hex_of(digest.data(), kIdBytes);
}

// As OpenSSL's configuration writes subject alternative names.
std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    ASN1_OCTET_STRING* const ip = a2i_IPADDRESS(host.c_str());
    ERR_clear_error();
    names += (names.empty() ? "" : ",") + std::string(ip == nullptr ? "DNS:" : "IP:") + host;
    ASN1_OCTET_STRING_free(ip);
  }
  return names;
}

using ExtensionText = std::pair<int, std::string>;

Result<KeyPair> make_self_signed(const std::string& common_name, WallTime from, WallTime to,
                                 const std::vector<ExtensionText>& extensions) {
  MUSTER_ASSIGN(const NewKey key, make_key());
  const Certificate made = blank(key, from, to);
  X509* certificate = made.get();
  const auto extend = [certificate](const ExtensionText& each) {
    return add(certificate, extension(certificate, certificate, each.first, each.second));
  };
  if (certificate == nullptr || !set_name(X509_get_subject_name(certificate), common_name) ||
      X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1 ||
      !std::ranges::all_of(extensions, extend) || X509_sign(certificate, key.key.get(), EVP_sha256()) == 0)
    return failure("make a certificate");
  return write_pair(key, certificate);
}

WallTime time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

}  // namespace

struct Authority::Parts {
  Key key;
  Certificate certificate;
  std::vector<Extension> of_leaves;  // kOfLeaves
  std::string pem, id;
  WallTime end;
};

Result<KeyPair> make_authority(const std::string& common_name, WallTime now) {
  return make_self_signed(common_name, now - kClockSkew, now + kAuthorityLife,
                          {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                           {NID_key_usage, "critical,keyCertSign"},
                           {NID_subject_key_identifier, "hash"}});
}

Result<KeyPair> make_lone_server(const std::string& common_name, const std::vector<std::string>& hosts,
                                 WallTime now, std::chrono::seconds life) {
  return make_self_signed(common_name, now - kClockSkew, now + life,
                          {{NID_basic_constraints, "critical,CA:TRUE"},
                           {NID_key_usage, "critical,digitalSignature,keyCertSign"},
                           {NID_ext_key_usage, "serverAuth"},
                           {NID_subject_alt_name, alternative_names(hosts)},
                           {NID_subject_key_identifier, "hash"}});
}

Result<Authority> Authority::load(const KeyPair& pair) {
  MUSTER_TRY(check_pair(pair));
  auto parts = std::make_shared<Parts>();
  MUSTER_ASSIGN(parts->key, read_key(pair.key));
  MUSTER_ASSIGN(parts->certificate, read_certificate(pair.certificate));
  if (X509_check_ca(parts->certificate.get()) != 1)
    return invalid_argument("the certificate is not that of an authority");
  X509* issuer = parts->certificate.get();
  for (const auto& [nid, value] : kOfLeaves) {
    parts->of_leaves.push_back(extension(nullptr, issuer, nid, value));
    if (!parts->of_leaves.back()) return failure("make an extension");
  }
  parts->pem = pair.certificate;
  parts->id = id_of(parts->certificate.get());
  parts->end = time_of(X509_get0_notAfter(parts->certificate.get()));
  return Authority(std::move(parts));
}

Result<KeyPair> Authority::issue(const std::string& dns_name, WallTime now) const {
  return issue(dns_name, now - kClockSkew, parts_->end);
}

Result<KeyPair> Authority::issue(const std::string& dns_name, WallTime from, WallTime to) const {
  return sign("DNS:" + dns_name, from, to);
}

Result<KeyPair> Authority::issue_for(const std::vector<std::string>& hosts, WallTime now) const {
  return sign(alternative_names(hosts), now - kClockSkew, parts_->end);
}

// `names`: as OpenSSL's configuration writes subject alternative names.
Result<KeyPair> Authority::sign(const std::string& names, WallTime from, WallTime to) const {
  MUSTER_ASSIGN(const NewKey key, make_key());
  const Certificate made = blank(key, from, to);
  X509* certificate = made.get();
  X509* issuer = parts_->certificate.get();
  const auto add_to_leaf = [certificate](const Extension& each) { return add(certificate, each); };
  // The subject stays empty, since a common name has at most 64 characters: the name is the SAN, critical
  // then.
  if (certificate == nullptr || X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
      !std::ranges::all_of(parts_->of_leaves, add_to_leaf) ||
      !add_to_leaf(extension(certificate, issuer, NID_subject_alt_name, "critical," + names)) ||
      X509_sign(certificate, parts_->key.get(), EVP_sha256()) == 0)
    return failure("make a certificate");
  return write_pair(key, certificate);
}

const std::string& Authority::certificate() const { return parts_->pem; }
WallTime Authority::end() const { return parts_->end; }
const std::string& Authority::id() const { return parts_->id; }

Result<std::string> authority_id(const std::string& certificate_pem) {
  MUSTER_ASSIGN(const Certificate certificate, read_certificate(certificate_pem));
  return id_of(certificate.get());
}

Result<std::vector<std::string>> verified_dns_names(const std::string& certificate_pem,
                                                    const std::string& authority_pem, WallTime now) {
  MUSTER_ASSIGN(const Certificate certificate, read_certificate(certificate_pem));
  MUSTER_ASSIGN(const Certificate authority, read_certificate(authority_pem));
  const openssl::Store store(X509_STORE_new());
  const openssl::StoreContext context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), authority.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1)
    return failure("check a certificate");
  X509_STORE_CTX_set_time(context.get(), 0, std::chrono::system_clock::to_time_t(now));
  if (X509_verify_cert(context.get()) != 1) {
    const int reason = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    if (reason == X509_V_ERR_CERT_HAS_EXPIRED) return Error{Code::kOutOfRange, "the certificate has expired"};
    if (reason == X509_V_ERR_CERT_NOT_YET_VALID)
      return Error{Code::kOutOfRange, "the certificate is not in force yet; is this machine's clock right?"};
    return Error{Code::kUnauthenticated, fmt::format("the certificate is not signed by this authority ({})",
                                                     X509_verify_cert_error_string(reason))};
  }
  const openssl::Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> found;
  for (int i = 0; i < (names ? sk_GENERAL_NAME_num(names.get()) : 0); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  return found;
}

Status check_pair(const KeyPair& pair) {
  MUSTER_ASSIGN(const Key key, read_key(pair.key));
  MUSTER_ASSIGN(const Certificate certificate, read_certificate(pair.certificate));
  const bool paired = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!paired) return invalid_argument("the private key is not the certificate's");
  return {};
}

}  // namespace muster
