// pod/environment.cc: environment and last words of a Muster container
#include "pod/environment.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <fstream>

#include "common/base/text.h"
#include "common/platform/volume_map.h"
#include "pod/pod_contract.h"
#include "pod/status_limits.h"

namespace muster {
namespace {

std::string variable(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

}  // namespace

Result<PodEnvironment> pod_environment() {
  PodEnvironment pod{.name = variable(kPodNameVariable),
                     .uid = variable(kPodUidVariable),
                     .ip = variable(kPodIpVariable),
                     .job_uid = variable(kJobUidVariable),
                     .role = variable(kRoleVariable),
                     .termination_log = variable("MUSTER_TERMINATION_LOG", "/dev/termination-log")};
  for (const auto& [name, value] : {std::pair{kPodNameVariable, &pod.name},
                                    {kPodUidVariable, &pod.uid},
                                    {kPodIpVariable, &pod.ip},
                                    {kJobUidVariable, &pod.job_uid},
                                    {kRoleVariable, &pod.role}}) {
    if (value->empty()) {
      return failed_precondition(
          fmt::format("environment variable {} is not set; the muster operator sets it in the pods it "
                      "creates, this program "
                      "is not meant to be started by hand",
                      name));
    }
  }
  const std::string index = variable(kIndexVariable);
  const char* end = index.data() + index.size();
  const auto parsed = std::from_chars(index.data(), end, pod.index);
  if (parsed.ec != std::errc() || parsed.ptr != end || pod.index < 0) {
    return failed_precondition(
        fmt::format("environment variable {} is \"{}\", not the number that the muster operator sets",
                    kIndexVariable, index));
  }
  MUSTER_TRY(volume_map_of_environment());
  return pod;
}

void write_termination_message(const PodEnvironment& pod, const std::string& message) {
  std::ofstream file(pod.termination_log, std::ios::trunc);
  file << clip(message, kStatusMessageBytesMax);
}

}  // namespace muster
