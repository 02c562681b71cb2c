// local/api/certificate.cc: OpenSSL's X.509 calls, wrapped
#include "local/api/certificate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "common/base/base64.h"
#include "common/platform/file_descriptor.h"

namespace muster::local {
namespace {

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* pointer) const { Free(pointer); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509, X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO, BIO_free_all>>;

bool add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string text_of_bio(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace

Result<Certificate> make_certificate(const std::string& ip) {
  const Error failure = internal_error("OpenSSL cannot make a certificate");
  const Key key(EVP_EC_gen("P-256"));
  const X509Ptr x509(X509_new());
  if (!key || !x509) return failure;
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return failure;
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509.get()));
  BN_free(number);
  X509_set_version(x509.get(), 2);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 365L * 24 * 3600);
  X509_set_pubkey(x509.get(), key.get());
  X509_NAME* name = X509_get_subject_name(x509.get());
  const auto* common = reinterpret_cast<const unsigned char*>("muster local API server");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common, -1, -1, 0);
  X509_set_issuer_name(x509.get(), name);
  const std::string names =
      fmt::format("DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,IP:127.0.0.1,IP:::1{}",
                  ip == "127.0.0.1" || ip == "::1" ? "" : ",IP:" + ip);
  if (!add_extension(x509.get(), NID_basic_constraints, "critical,CA:TRUE") ||
      !add_extension(x509.get(), NID_key_usage, "critical,digitalSignature,keyCertSign") ||
      !add_extension(x509.get(), NID_ext_key_usage, "serverAuth") ||
      !add_extension(x509.get(), NID_subject_alt_name, names) ||
      !add_extension(x509.get(), NID_subject_key_identifier, "hash") ||
      X509_sign(x509.get(), key.get(), EVP_sha256()) == 0)
    return failure;
  const BioPtr certificate_bio(BIO_new(BIO_s_mem()));
  const BioPtr key_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_bio.get(), x509.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return failure;
  return Certificate{text_of_bio(certificate_bio.get()), text_of_bio(key_bio.get())};
}

Result<std::string> make_token() {
  unsigned char bytes[32];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return internal_error("OpenSSL has no random bytes for a token");
  std::string token;
  for (const unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

std::string make_kubeconfig(const std::string& url, const std::string& certificate_pem,
                            const std::string& token) {
  return fmt::format(R"(apiVersion: v1
kind: Config
clusters:
- name: muster-local
  cluster:
    server: {}
    certificate-authority-data: {}
users:
- name: muster-local
  user:
    token: {}
contexts:
- name: muster-local
  context:
    cluster: muster-local
    user: muster-local
    namespace: default
current-context: muster-local
)",
                     url, base64_encode(certificate_pem), token);
}

Status write_private_file(const std::filesystem::path& path, const std::string& content) {
  const std::string temporary = path.string() + ".new";
  const auto fail = [&](const char* what) {
    return Error{Code::kPermissionDenied,
                 fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno))};
  };
  ::unlink(temporary.c_str());
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail("create");
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t wrote = ::write(file.get(), content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      ::unlink(temporary.c_str());
      return fail("write");
    }
    done += static_cast<std::size_t>(wrote);
  }
  file.reset();
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail("rename to");
  return {};
}

}  // namespace muster::local
