#pragma once  // tests/support/pod_figures.h: what is seen of a process from outside: its /metrics, its memory
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "common/platform/file_descriptor.h"
#include "pod/pod_contract.h"

namespace muster {

// A sanitizer takes memory of its own: what a process takes says nothing about ours.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryIsOurs = false;
#else
inline constexpr bool kMemoryIsOurs = true;
#endif

// The text of /metrics of the pod at `ip`; empty when nobody answers.
inline std::string metrics_page(const std::string& ip) {
  const FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  inet_pton(AF_INET, ip.c_str(), &peer.sin_addr);
  peer.sin_port = htons(kMetricsPort);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) return {};
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
  std::string page;
  char buffer[4096];
  for (ssize_t got = 0; (got = recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
    page.append(buffer, static_cast<std::size_t>(got));
  return page;
}

// The value of a series, named as it stands on the page: `name{label="value"}`. 0 where it is not there.
inline double series_of(const std::string& page, const std::string& series) {
  const std::size_t at = page.find("\n" + series + " ");
  return at == std::string::npos ? 0 : std::strtod(page.c_str() + at + series.size() + 2, nullptr);
}

// A figure of /proc/PID/status, e.g. "VmHWM": the peak of its resident memory. 0 where it is not there.
inline std::int64_t status_kib(pid_t pid, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::strtoll(line.c_str() + field.size() + 1, nullptr, 10);
  return 0;
}

}  // namespace muster
