// local/runtime/gpus.cc: sharing GPUs out
#include "local/runtime/gpus.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "local/runtime/json_access.h"
#include "local/runtime/quantity.h"

namespace muster::local {
namespace {

std::size_t wanted(const Json& container) {
  const Json& resources = member(container, "resources");
  const Json& request = member(resources, "requests", kGpuResource);
  const Json& value = request.is_null() ? member(resources, "limits", kGpuResource) : request;
  return static_cast<std::size_t>(std::max<std::int64_t>(quantity_milli(value), 0) / 1000);
}

}  // namespace

std::optional<std::vector<std::string>> GpuPool::take(std::size_t count) {
  if (count > free_.size()) return std::nullopt;
  const auto end = free_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<std::string> out(free_.begin(), end);
  free_.erase(free_.begin(), end);
  return out;
}

void GpuPool::give_back(const std::vector<std::string>& gpus) {
  free_.insert(free_.end(), gpus.begin(), gpus.end());
}

Variables gpu_variables(const Json& pod, const Json& container, const std::vector<std::string>& pod_gpus,
                        const std::vector<std::string>& machine_gpus) {
  if (machine_gpus.empty()) return {};
  const std::string name = text(member(container, "name"));
  std::size_t first = 0;
  bool found = false;
  for (const char* group : {"initContainers", "containers"}) {
    for (const Json& each : member(pod, "spec", group)) {
      found = found || text(member(each, "name")) == name;
      const bool lasts =
          std::string_view(group) == "containers" || text(member(each, "restartPolicy")) == "Always";
      if (!found && lasts) first += wanted(each);
    }
  }
  std::vector<std::string> own;
  for (std::size_t i = first; i < first + wanted(container) && i < pod_gpus.size(); ++i)
    own.push_back(pod_gpus[i]);
  const std::string list = fmt::format("{}", fmt::join(own, ","));
  return {{"CUDA_VISIBLE_DEVICES", list}, {"NVIDIA_VISIBLE_DEVICES", own.empty() ? "void" : list}};
}

}  // namespace muster::local
