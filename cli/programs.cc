// cli/programs.cc: the programs that a run's jobs need beside `muster`
#include "cli/programs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "common/json/access.h"
#include "common/spec/pod_templates.h"

namespace muster::cli {
namespace {

bool has(const Json& object, const char* name) { return object.is_object() && object.contains(name); }

// No container of the template has an image of its own, which would be what runs.
bool runs_ours(const ManifestObject& object, const spec::PodTemplatePlace& place) {
  const Json& containers = member(spec::template_at(object.value, place), "spec", "containers");
  if (!containers.is_array()) return true;
  return std::ranges::none_of(containers, [](const Json& each) { return has(each, "image"); });
}

std::vector<std::string> programs_of(const ManifestObject& object) {
  static const Json kNothing = Json::object();
  const Json& spec = has(object.value, "spec") ? object.value["spec"] : kNothing;
  std::vector<std::string> programs{"muster-operator"};
  const bool beside = has(spec, "training") && has(spec["training"], "program");
  const bool serves = text(member(spec, "synchronization", "topology")) == "ParameterServer";
  if (object.kind->kind == "DistributedJob" && has(spec, "training") &&
      (beside || runs_ours(object, spec::kWorkerTemplate) ||
       (serves && runs_ours(object, spec::kServerTemplate))))
    programs.emplace_back("muster-worker");
  if (object.kind->kind == "DistributedJob" && text(member(spec, "runPolicy", "restart")) == "InPlace")
    programs.emplace_back("muster-exec");
  if (object.kind->kind == "FederatedRound" && runs_ours(object, spec::kAggregatorTemplate))
    programs.emplace_back("muster-aggregator");
  if (object.kind->kind == "FederatedRound" && (beside || runs_ours(object, spec::kClientTemplate)))
    programs.emplace_back("muster-device");
  return programs;
}

}  // namespace

Status check_programs(const std::vector<ManifestObject>& objects, const std::filesystem::path& folder) {
  for (const ManifestObject& object : objects) {
    if (!object.is_job()) continue;
    for (const std::string& program : programs_of(object)) {
      const auto path = folder / program;
      if (::access(path.c_str(), X_OK) == 0) continue;
      return failed_precondition(
          fmt::format("{} needs {}, which is missing or cannot be executed; build it with "
                      "`./dev build`, or install it beside muster",
                      object.title(), path.string()));
    }
  }
  return {};
}

std::filesystem::path program_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

}  // namespace muster::cli
