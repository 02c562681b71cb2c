// cli/programs.cc: the programs that a run's jobs need beside `muster`
#include "cli/programs.h"

#include <fmt/format.h>
#include <unistd.h>

namespace muster::cli {
namespace {

bool has(const Json& object, const char* name) { return object.is_object() && object.contains(name); }

// The template names an image of its own for one of its containers: then that is what runs.
bool brings_image(const Json& owner) {
  if (!has(owner, "template") || !has(owner["template"], "spec") ||
      !has(owner["template"]["spec"], "containers")) {
    return false;
  }
  for (const Json& container : owner["template"]["spec"]["containers"]) {
    if (has(container, "image")) return true;
  }
  return false;
}

bool needs(const Json& spec, const char* owner) { return !has(spec, owner) || !brings_image(spec[owner]); }

std::vector<std::string> programs_of(const ManifestObject& object) {
  static const Json kNothing = Json::object();
  const Json& spec = has(object.value, "spec") ? object.value["spec"] : kNothing;
  std::vector<std::string> programs{"muster-operator"};
  if (object.kind->kind == "DistributedJob" && has(spec, "training") &&
      (has(spec["training"], "program") || needs(spec, "workers"))) {
    programs.emplace_back("muster-worker");
  }
  if (object.kind->kind == "DistributedJob" && has(spec, "runPolicy") && has(spec["runPolicy"], "restart") &&
      spec["runPolicy"]["restart"] == "InPlace")
    programs.emplace_back("muster-exec");
  if (object.kind->kind == "FederatedRound" && needs(spec, "aggregator"))
    programs.emplace_back("muster-aggregator");
  if (object.kind->kind == "FederatedRound" &&
      ((has(spec, "training") && has(spec["training"], "program")) || needs(spec, "clients")))
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
