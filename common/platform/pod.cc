// common/platform/pod.cc: environment, mounts and last words of a Muster container
#include "common/platform/pod.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "common/base/text.h"

namespace muster {
namespace {

constexpr std::size_t kTerminationMessageBytes = 4096;  // the kubelet reads no more

std::string variable(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

}  // namespace

Result<PodEnvironment> pod_environment() {
  PodEnvironment pod{.name = variable("MUSTER_POD_NAME"),
                     .ip = variable("MUSTER_POD_IP"),
                     .job_uid = variable("MUSTER_JOB_UID"),
                     .termination_log = variable("MUSTER_TERMINATION_LOG", "/dev/termination-log")};
  for (const auto& [name, value] : {std::pair{"MUSTER_POD_NAME", &pod.name},
                                    {"MUSTER_POD_IP", &pod.ip},
                                    {"MUSTER_JOB_UID", &pod.job_uid}}) {
    if (value->empty()) {
      return failed_precondition(
          fmt::format("environment variable {} is not set; the muster operator sets it in the pods it "
                      "creates, this program "
                      "is not meant to be started by hand",
                      name));
    }
  }
  const std::string generation = variable("MUSTER_GENERATION", "0");
  const char* end = generation.data() + generation.size();
  const auto parsed = std::from_chars(generation.data(), end, pod.generation);
  if (parsed.ec != std::errc() || parsed.ptr != end || pod.generation < 0) {
    return failed_precondition(fmt::format(
        "environment variable MUSTER_GENERATION is \"{}\", not the number that the muster operator sets",
        generation));
  }
  return pod;
}

std::filesystem::path resolve_mount(const std::string& path) {
  const std::string map = variable("MUSTER_VOLUME_MAP");
  std::string_view best_mount;
  std::string_view best_folder;
  std::string_view rest = map;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::string_view entry = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view mount = entry.substr(0, equals);
    const bool inside = path == mount || (path.starts_with(mount) && path[mount.size()] == '/');
    if (inside && mount.size() > best_mount.size()) {
      best_mount = mount;
      best_folder = entry.substr(equals + 1);
    }
  }
  if (best_mount.empty()) return path;
  return std::string(best_folder) + path.substr(best_mount.size());
}

void write_termination_message(const PodEnvironment& pod, const std::string& message) {
  std::ofstream file(pod.termination_log, std::ios::trunc);
  file << clip(message, kTerminationMessageBytes);
}

}  // namespace muster
