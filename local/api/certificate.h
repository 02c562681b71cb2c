#pragma once  // local/api/certificate.h: the server's own TLS certificate, its token, and the kubeconfig that
              // holds both
#include <filesystem>
#include <string>

#include "common/base/result.h"

namespace muster::local {

struct Certificate {
  std::string certificate_pem;  // self-signed, for the loopback addresses and localhost
  std::string key_pem;
};

// A fresh P-256 key and a certificate for `ip`, localhost and 127.0.0.1, valid for a year. kInternal if
// OpenSSL fails.
[[nodiscard]] Result<Certificate> make_certificate(const std::string& ip);
// 256 bits from the system's generator, in hexadecimal.
[[nodiscard]] Result<std::string> make_token();
[[nodiscard]] std::string make_kubeconfig(const std::string& url, const std::string& certificate_pem,
                                          const std::string& token);
// Replaces `path` as a whole; nobody but its owner can read it at any time.
[[nodiscard]] Status write_private_file(const std::filesystem::path& path, const std::string& content);

}  // namespace muster::local
