// common/spec/paths.cc: paths of a manifest, judged by their text
#include "common/spec/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

namespace muster::spec {
namespace {

constexpr std::array<std::string_view, 6> kSystemFolders{"/proc", "/sys", "/dev", "/etc", "/run", "/var/run"};

std::string list_of(const std::vector<Mount>& mounts) {
  std::string list;
  for (const Mount& mount : mounts)
    list += (list.empty() ? "" : ", ") + mount.path + (mount.writable ? "" : " (read-only)");
  return list.empty() ? "none is mounted" : "mounted are " + list;
}

}  // namespace

std::string normal_path(const std::string& path) {
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  if (normal.starts_with("//")) normal.erase(0, 1);
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

bool is_inside(std::string_view path, std::string_view folder) {
  if (folder == "/") return path.starts_with('/');
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string behind(const std::string& path, const std::string& folder) {
  return path.size() == folder.size() ? "" : path.substr(folder == "/" ? 1 : folder.size() + 1);
}

std::string mount_path(const std::string& told) { return normal_path("/" + told); }

std::optional<std::size_t> mount_of(const std::string& path, const std::vector<std::string>& mounts) {
  const std::string normal = normal_path(path);
  std::optional<std::size_t> best;
  std::size_t longest = 0;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const std::string mount = mount_path(mounts[i]);
    if (!is_inside(normal, mount) || mount.size() <= longest) continue;
    best = i;
    longest = mount.size();
  }
  return best;
}

bool is_system_path(std::string_view path) {
  return path == "/" || std::ranges::any_of(kSystemFolders,
                                            [&](std::string_view folder) { return is_inside(path, folder); });
}

Status check_dataset_path(const std::string& path, const std::string& field) {
  if (!path.starts_with('/'))
    return invalid_argument(fmt::format("{}: \"{}\" is not absolute; begin it with /", field, path));
  if (is_system_path(normal_path(path))) {
    return invalid_argument(
        fmt::format("{}: \"{}\" is among the files of the system, where no dataset is; name a path in a "
                    "volume or in the image",
                    field, path));
  }
  return {};
}

Result<std::string> storage_mount(const std::string& path, const std::string& field,
                                  const std::vector<Mount>& mounts, const std::string& remedy) {
  if (!path.starts_with('/'))
    return invalid_argument(fmt::format("{}: \"{}\" is not absolute; begin it with /", field, path));
  std::vector<std::string> paths;
  paths.reserve(mounts.size());
  for (const Mount& mount : mounts) paths.push_back(mount.path);
  const auto found = mount_of(path, paths);
  const Mount* holds = found ? &mounts[*found] : nullptr;
  if (holds != nullptr && holds->writable) return mount_path(holds->path);
  return invalid_argument(
      holds == nullptr
          ? fmt::format("{}: \"{}\" is in no volume ({}); {}", field, path, list_of(mounts), remedy)
          : fmt::format("{}: \"{}\" is in {}, which is mounted read-only ({}); {}", field, path, holds->path,
                        list_of(mounts), remedy));
}

}  // namespace muster::spec
