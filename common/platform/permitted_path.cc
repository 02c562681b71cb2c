// common/platform/permitted_path.cc: volumes are mapped, links followed, then the rules of
// common/spec/paths.h
#include "common/platform/permitted_path.h"

#include <fmt/format.h>

#include "common/platform/volume_map.h"
#include "common/spec/paths.h"

namespace muster {
namespace {

// With every link followed as far as the path exists.
Result<std::filesystem::path> followed(const std::filesystem::path& own, const std::string& path,
                                       const std::string& field) {
  std::error_code error;
  std::filesystem::path canonical = std::filesystem::weakly_canonical(own, error);
  if (error)
    return invalid_argument(fmt::format("{}: \"{}\" cannot be followed: {}", field, path, error.message()));
  return canonical;
}

// Of a path that is the process's own.
Result<std::filesystem::path> followed(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path canonical = std::filesystem::weakly_canonical(path, error);
  if (error)
    return invalid_argument(fmt::format("{} cannot be followed: {}", path.string(), error.message()));
  return canonical;
}

bool holds(const std::filesystem::path& folder, const std::filesystem::path& path) {
  return spec::is_inside(spec::normal_path(path.string()), spec::normal_path(folder.string()));
}

}  // namespace

Result<std::filesystem::path> permitted_dataset(const std::string& path, const std::string& field) {
  MUSTER_TRY(spec::check_dataset_path(path, field));
  MUSTER_ASSIGN(const VolumeMap map, volume_map_of_environment());
  MUSTER_ASSIGN(std::filesystem::path canonical, followed(resolve_mount(path, map), path, field));
  // Without a cluster a volume is a folder anywhere on the machine.
  for (const auto& [mount, folder] : map) {
    if (!spec::is_inside(spec::normal_path(path), spec::normal_path(mount))) continue;
    MUSTER_ASSIGN(const std::filesystem::path root, followed(folder, path, field));
    if (holds(root, canonical)) return canonical;
  }
  if (spec::is_system_path(spec::normal_path(canonical.string()))) {
    return invalid_argument(fmt::format(
        "{}: \"{}\" is a link to the files of the system, where no dataset is; name the dataset's own path",
        field, path));
  }
  return canonical;
}

Result<std::filesystem::path> permitted_storage(const std::string& path, const std::string& field,
                                                const std::vector<std::string>& mounts) {
  std::vector<spec::Mount> writable;
  writable.reserve(mounts.size());
  for (const std::string& mount : mounts) writable.push_back({.path = mount, .writable = true});
  MUSTER_ASSIGN(
      const std::string mount,
      spec::storage_mount(path, field, writable, "bring muster-operator and the pods to one version"));
  MUSTER_ASSIGN(std::filesystem::path canonical, followed(resolve_mount(path), path, field));
  MUSTER_ASSIGN(const std::filesystem::path root, followed(resolve_mount(mount), path, field));
  if (holds(root, canonical)) return canonical;
  return invalid_argument(
      fmt::format("{}: \"{}\" is a link that leads out of the volume at {}; name a folder inside it", field,
                  path, mount));
}

Result<std::filesystem::path> permitted_dataset_file(const std::filesystem::path& folder,
                                                     const std::filesystem::path& path) {
  MUSTER_ASSIGN(const std::filesystem::path root, followed(folder));
  MUSTER_ASSIGN(const std::filesystem::path canonical, followed(path));
  if (holds(root, canonical) || !spec::is_system_path(spec::normal_path(canonical.string()))) return path;
  return invalid_argument(
      fmt::format("{} is a link to the files of the system, where no dataset is; put the file itself there",
                  path.string()));
}

Result<std::filesystem::path> permitted_storage_folder(const std::filesystem::path& storage,
                                                       const std::filesystem::path& path) {
  MUSTER_ASSIGN(const std::filesystem::path root, followed(storage));
  MUSTER_ASSIGN(const std::filesystem::path canonical, followed(path));
  if (holds(root, canonical)) return path;
  return invalid_argument(
      fmt::format("{} is a link that leads out of {}; remove it", path.string(), storage.string()));
}

}  // namespace muster
