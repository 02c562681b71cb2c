// local/api/certificate.cc: names, a token and a kubeconfig for a server of its own
#include "local/api/certificate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "common/base/base64.h"
#include "common/base/hex.h"
#include "common/crypto/hkdf.h"
#include "common/crypto/x509.h"
#include "common/platform/file_descriptor.h"

namespace muster::local {
Result<Certificate> make_certificate(const std::string& ip) {
  std::vector<std::string> hosts{"localhost", "kubernetes", "kubernetes.default", "127.0.0.1", "::1"};
  if (std::ranges::find(hosts, ip) == hosts.end()) hosts.push_back(ip);
  MUSTER_ASSIGN(KeyPair pair,
                make_lone_server("muster local API server", hosts, std::chrono::system_clock::now(),
                                 std::chrono::hours(24 * 365)));
  return Certificate{std::move(pair.certificate), std::move(pair.key)};
}

Result<std::string> make_token() {
  MUSTER_ASSIGN(const std::string bytes, random_key(32));
  return hex_of(bytes);
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
