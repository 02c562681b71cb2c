// cli/output_folder.cc: the folder that a run writes to, looked at before anything starts
#include "cli/output_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <set>

#include "cli/collect.h"
#include "cli/storage.h"
#include "common/platform/in_the_way.h"
#include "common/spec/paths.h"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;

Status make_output(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK) == 0) return {};
  std::string why = in_the_way(folder);
  if (why.empty()) why = error ? error.message() : "no permission";
  return unavailable(fmt::format("cannot write to the output folder {}: {}; choose another --output-dir",
                                 folder.string(), why));
}

// "", or why nothing can be written into a folder at this path.
std::string blocked(const fs::path& folder) {
  if (std::string why = in_the_way(folder); !why.empty()) return why;
  std::error_code error;
  const bool closed = fs::exists(folder, error) && ::access(folder.c_str(), W_OK) != 0;
  return closed ? folder.string() + " cannot be written" : "";
}

std::string blocked_file(const fs::path& file) {
  std::error_code error;
  return fs::is_directory(file, error) ? file.string() + " is a folder" : "";
}

// Each obstacle once, however many objects it keeps out.
class Obstacles {
 public:
  void add(const ManifestObject& object, const std::string& why) {
    if (why.empty() || !seen_.insert(why).second) return;
    lines_ += fmt::format("{}{}: {}: {}; move it away, or choose another --output-dir",
                          lines_.empty() ? "" : "\n", object.where("metadata.name"), object.title(), why);
  }
  [[nodiscard]] Status told() const { return lines_.empty() ? Status() : Status(unavailable(lines_)); }

 private:
  std::set<std::string> seen_;
  std::string lines_;
};

void look_at_job(const ManifestObject& job, const fs::path& folder, const fs::path& volumes,
                 Obstacles& obstacles) {
  const std::string why = blocked(folder);
  obstacles.add(job, why);
  if (!why.empty()) return;
  for (const char* file : {kModelFile, kHistoryFile, kPlotFile})
    obstacles.add(job, blocked_file(folder / file));
  if (const ModelFolder source = find_model_folder(job.value, volumes); !source.path.empty())
    obstacles.add(job, blocked_file(source.path / kModelFile));
}

std::string path_field(const ManifestObject& job) {
  return job.kind->kind == "FederatedRound" ? "spec.aggregator.storage.path"
                                            : "spec.training.checkpoint.path";
}

}  // namespace

Status check_model_folders(const std::vector<ManifestObject>& objects) {
  std::map<std::string, const ManifestObject*> seen;
  for (const ManifestObject& object : objects) {
    if (!object.is_job()) continue;
    const ModelFolder folder = find_model_folder(object.value, kVolumesFolder);
    if (folder.lost) {
      const std::string field = path_field(object);
      return invalid_argument(
          fmt::format("{}: {}: {}: {}", object.where(field), object.title(), field, folder.why));
    }
    if (folder.path.empty()) continue;
    const auto [earlier, fresh] = seen.emplace(spec::normal_path(folder.path.string()), &object);
    if (fresh) continue;
    const std::string field = path_field(object);
    return invalid_argument(
        fmt::format("{}: {}: {}: is the folder of {} at {}, too; give each a folder of its own",
                    object.where(field), object.title(), field, earlier->second->title(),
                    earlier->second->where(path_field(*earlier->second))));
  }
  return {};
}

Status prepare_output(const fs::path& folder, const std::vector<ManifestObject>& objects) {
  MUSTER_TRY(make_output(folder));
  const fs::path volumes = folder / kVolumesFolder;
  Obstacles obstacles;
  std::set<std::string> taken;
  for (const ManifestObject& object : objects) {
    if (object.name.empty()) continue;  // it gets a name, and so a place, from the server
    if (object.kind->kind == "PersistentVolumeClaim")
      obstacles.add(object, in_the_way(volumes / object.name_space / object.name));
    if (object.is_job())
      look_at_job(object, folder / output_folder(view_job(object.value), taken), volumes, obstacles);
  }
  return obstacles.told();
}

}  // namespace muster::cli
