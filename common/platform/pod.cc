// common/platform/pod.cc: environment and last words of a Muster container
#include "common/platform/pod.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <fstream>

#include "common/base/text.h"
#include "common/platform/volume_map.h"

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
  MUSTER_TRY(volume_map_of_environment());
  return pod;
}

void write_termination_message(const PodEnvironment& pod, const std::string& message) {
  std::ofstream file(pod.termination_log, std::ios::trunc);
  file << clip(message, kTerminationMessageBytes);
}

}  // namespace muster
