// local/runtime/pod_names.cc: the hosts files and the trial of a mount namespace
#include "local/runtime/pod_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "common/platform/log.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHosts = "/etc/hosts";
constexpr const char* kNameServices = "/etc/nsswitch.conf";

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool write_at(int fd, std::string_view bytes, std::size_t at) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
    at += static_cast<std::size_t>(wrote);
  }
  return true;
}

}  // namespace

PodNames::PodNames(fs::path folder) : folder_(std::move(folder)) {}

PodNames::~PodNames() {
  std::error_code error;
  fs::remove_all(folder_, error);
}

void PodNames::open(const fs::path& init) {
  std::error_code error;
  fs::create_directories(folder_, error);
  machine_ = content_of(kHosts);
  if (!machine_.empty() && !machine_.ends_with('\n')) machine_ += '\n';
  if (const std::string services = with_files_first(content_of(kNameServices));
      !services.empty() && fs::exists(kNameServices, error)) {
    name_services_ = folder_ / "nsswitch.conf";
    std::ofstream(name_services_) << services;
  }
  problem_.clear();
  const Status tried =
      ContainerProcess::try_binds({.init = init, .directory = "/", .hostname = "try", .binds = binds("-")});
  if (tried) return;
  problem_ = tried.error().message;
  spdlog::warn("names of Services do not resolve in pods why=\"{}\"", problem_);
}

std::vector<Bind> PodNames::binds(const std::string& ns) {
  if (!problem_.empty()) return {};
  File& file = files_[ns];
  if (!file.fd.valid()) write(ns, file);
  std::vector<Bind> out{{.from = path(ns), .at = kHosts}};
  if (!name_services_.empty()) out.push_back({.from = name_services_, .at = kNameServices});
  return out;
}

void PodNames::settle() {
  if (!problem_.empty() || !names_.changed()) return;
  for (auto& [ns, file] : files_) write(ns, file);
}

// Readers may come at any time, and must never see less than a whole file: the new content goes over the
// old one, and what is too much at its end is blanked before it is cut off.
void PodNames::write(const std::string& ns, File& file) {
  const std::string now = machine_ + names_.lines(ns);
  if (!file.fd.valid()) {
    std::error_code error;
    fs::create_directories(path(ns).parent_path(), error);
    file.fd =
        FileDescriptor(::open(path(ns).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  } else if (now == file.content) {
    return;
  }
  std::size_t same = 0;
  while (same < std::min(now.size(), file.content.size()) && now[same] == file.content[same]) ++same;
  std::string rest = now.substr(same);
  if (now.size() < file.content.size()) rest.append(file.content.size() - now.size(), '\n');
  if (file.fd.valid() && write_at(file.fd.get(), rest, same) &&
      ::ftruncate(file.fd.get(), static_cast<off_t>(now.size())) == 0) {
    file.content = now;
  } else {
    spdlog::warn("cannot write the names of pods file={} error={}", path(ns).string(), std::strerror(errno));
  }
}

}  // namespace muster::local
