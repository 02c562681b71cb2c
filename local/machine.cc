// local/machine.cc: capacity of this machine and the Node object that shows it
#include "local/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <system_error>

#include "common/base/rfc3339.h"

namespace muster::local {
namespace {

constexpr int kPodsMax = 1024;  // a cluster's node says 110; processes are cheaper than containers
constexpr int kGpusMax = 64;

// A cgroup's limit in bytes, or the largest number.
std::int64_t memory_limit() {
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in(path);
    std::int64_t value = 0;
    if (in >> value && value > 0) limit = std::min(limit, value);
  }
  return limit;
}

std::string os_image() {
  std::ifstream in("/etc/os-release");
  constexpr std::string_view kKey = "PRETTY_NAME=";
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(kKey)) continue;
    std::erase(line, '"');
    return line.substr(kKey.size());
  }
  return "Linux";
}

std::string architecture(const utsname& system) {
  const std::string_view machine = system.machine;
  if (machine == "x86_64") return "amd64";
  return machine == "aarch64" ? "arm64" : std::string(machine);
}

Json conditions() {
  const std::string now = rfc3339(std::chrono::system_clock::now());
  const auto condition = [&now](const char* type, const char* status, const char* reason,
                                const char* message) {
    return Json{
        {"type", type},     {"status", status},  {"lastHeartbeatTime", now}, {"lastTransitionTime", now},
        {"reason", reason}, {"message", message}};
  };
  return Json::array(
      {condition("MemoryPressure", "False", "KubeletHasSufficientMemory",
                 "kubelet has sufficient memory available"),
       condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
       condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
       condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")});
}

// Those that are there, or those of them that this process is to keep to.
std::vector<std::string> gpus() {
  std::vector<std::string> out;
  std::error_code error;
  for (int i = 0; i < kGpusMax && std::filesystem::exists(fmt::format("/dev/nvidia{}", i), error); ++i)
    out.push_back(std::to_string(i));
  const char* chosen = std::getenv("CUDA_VISIBLE_DEVICES");
  if (out.empty() || chosen == nullptr) return out;
  out.clear();
  std::istringstream names(chosen);
  for (std::string name; std::getline(names, name, ',');) {
    if (!name.empty() && name != "-1") out.push_back(name);
  }
  return out;
}

}  // namespace

Machine this_machine(const std::filesystem::path& folder) {
  Machine out;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  out.cpus = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : sysconf(_SC_NPROCESSORS_ONLN);
  const std::int64_t memory = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  out.memory_bytes = std::min(memory, memory_limit());
  struct statvfs storage {};
  if (statvfs(folder.c_str(), &storage) == 0) {
    out.storage_bytes = static_cast<std::int64_t>(storage.f_blocks * storage.f_frsize);
  }
  out.gpus = gpus();
  return out;
}

Json node_object(const Machine& machine, const std::string& name, const std::string& ip) {
  utsname system{};
  uname(&system);
  const std::string arch = architecture(system);
  Json capacity{{"cpu", std::to_string(machine.cpus)},
                {"memory", fmt::format("{}Ki", machine.memory_bytes / 1024)},
                {"ephemeral-storage", fmt::format("{}Ki", machine.storage_bytes / 1024)},
                {"hugepages-2Mi", "0"},
                {"pods", std::to_string(kPodsMax)}};
  if (!machine.gpus.empty()) capacity["nvidia.com/gpu"] = std::to_string(machine.gpus.size());
  return {{"apiVersion", "v1"},
          {"kind", "Node"},
          {"metadata",
           {{"name", name},
            {"labels",
             {{"kubernetes.io/hostname", name},
              {"kubernetes.io/os", "linux"},
              {"kubernetes.io/arch", arch},
              {"beta.kubernetes.io/os", "linux"},
              {"beta.kubernetes.io/arch", arch},
              {"node-role.kubernetes.io/control-plane", ""}}}}},
          {"spec", Json::object()},
          {"status",
           {{"capacity", capacity},
            {"allocatable", capacity},
            {"conditions", conditions()},
            {"addresses", Json::array({{{"type", "InternalIP"}, {"address", ip}},
                                       {{"type", "Hostname"}, {"address", name}}})},
            {"nodeInfo",
             {{"architecture", arch},
              {"operatingSystem", "linux"},
              {"kernelVersion", system.release},
              {"osImage", os_image()},
              {"containerRuntimeVersion", "muster://" MUSTER_VERSION},
              {"kubeletVersion", "v1.33.0"},
              {"kubeProxyVersion", ""},
              {"machineID", ""},
              {"systemUUID", ""},
              {"bootID", ""}}}}}};
}

}  // namespace muster::local
