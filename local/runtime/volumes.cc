// local/runtime/volumes.cc: emptyDir, hostPath, configMap, secret, downwardAPI, projected,
// persistentVolumeClaim
#include "local/runtime/volumes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/base/base64.h"
#include "common/platform/file_descriptor.h"
#include "common/platform/in_the_way.h"
#include "local/runtime/json_access.h"
#include "local/runtime/mounts.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefaultMode = 0644;

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return {};
  const std::string why = in_the_way(folder);
  return failed_precondition(fmt::format("cannot create folder {}: {}", folder.string(),
                                         why.empty() ? error.message() : why + "; move it away"));
}

Status write_file(const fs::path& folder, const std::string& path, const std::string& content,
                  std::int64_t mode) {
  if (path.empty() || !stays_inside(path)) {
    return invalid_argument(fmt::format("path \"{}\" must be relative and without \"..\"", path));
  }
  const fs::path file = folder / path;
  MUSTER_TRY(make_folder(file.parent_path()));
  ::unlink(file.c_str());  // an earlier one may be read-only
  const FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid())
    return failed_precondition(fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)));
  const bool whole =
      ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::fchmod(fd.get(), static_cast<mode_t>(mode & 0777));
  if (!whole)
    return failed_precondition(fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)));
  return {};
}

// The keys of a ConfigMap or Secret as files: all of them, or those of `items`.
Status write_keys(const VolumesInput& input, bool secret, const Json& source, const fs::path& folder) {
  const std::string name =
      text(member(source, secret && source.contains("secretName") ? "secretName" : "name"));
  const bool optional = boolean(member(source, "optional"));
  const Result<Json> object = input.read(secret ? "secrets" : "configmaps", name);
  if (!object) {
    if (optional && object.error().code == Code::kNotFound) return {};
    if (object.error().code != Code::kNotFound) return object.error();
    return not_found(fmt::format("{} \"{}\" not found", secret ? "secret" : "configmap", name));
  }
  // Nobody else of this machine reads a secret, whatever the manifest says of a container's users.
  const std::int64_t allowed = secret ? 0770 : 0777;
  const std::int64_t mode = integer(member(source, "defaultMode"), kDefaultMode) & allowed;
  const auto content = [&](const Json& value, bool encoded) {
    return encoded ? base64_decode(text(value)).value_or("") : text(value);
  };
  const Json& items = member(source, "items");
  if (!items.is_array() || items.empty()) {
    for (const auto& [key, value] : member(*object, "data").items()) {
      MUSTER_TRY(write_file(folder, key, content(value, secret), mode));
    }
    for (const auto& [key, value] : member(*object, "binaryData").items()) {
      MUSTER_TRY(write_file(folder, key, content(value, true), mode));
    }
    return {};
  }
  for (const Json& item : items) {
    const std::string key = text(member(item, "key"));
    const bool binary = !secret && member(*object, "binaryData", key).is_string();
    const Json& value = binary ? member(*object, "binaryData", key) : member(*object, "data", key);
    if (!value.is_string()) {
      if (optional) continue;
      return not_found(
          fmt::format("{} references non-existent {} key: {}", name, secret ? "secret" : "config", key));
    }
    MUSTER_TRY(write_file(folder, text(member(item, "path")), content(value, secret || binary),
                          integer(member(item, "mode"), mode) & allowed));
  }
  return {};
}

const Json& container_named(const Json& pod, const std::string& name) {
  for (const char* group : {"containers", "initContainers"}) {
    for (const Json& container : member(pod, "spec", group)) {
      if (text(member(container, "name")) == name) return container;
    }
  }
  return member(pod, "");
}

Status write_downward(const VolumesInput& input, const Json& source, const fs::path& folder) {
  const std::int64_t mode = integer(member(source, "defaultMode"), kDefaultMode);
  for (const Json& item : member(source, "items")) {
    std::string value;
    if (const Json& resource = member(item, "resourceFieldRef"); resource.is_object()) {
      MUSTER_ASSIGN(value, resource_value(container_named(input.pod, text(member(resource, "containerName"))),
                                          resource, input.node_cpu_milli, input.node_memory_milli));
    } else {
      MUSTER_ASSIGN(value, field_value(input.pod, text(member(item, "fieldRef", "fieldPath"))));
    }
    MUSTER_TRY(write_file(folder, text(member(item, "path")), value, integer(member(item, "mode"), mode)));
  }
  return {};
}

Status write_projected(const VolumesInput& input, const Json& volume, const fs::path& folder) {
  // Of the volume that the API server adds to pods, a certificate that is missing holds nobody up.
  const bool api_access = text(member(volume, "name")).starts_with("kube-api-access-");
  for (Json source : member(volume, "projected", "sources")) {
    if (const Json& token = member(source, "serviceAccountToken"); token.is_object()) {
      if (!text(member(token, "audience")).empty())
        return failed_precondition(
            "tokens for another audience than this API are not issued without a cluster");
      MUSTER_ASSIGN(const std::string value, input.token());
      MUSTER_TRY(write_file(folder, text(member(token, "path")), value, 0600));
    }
    for (const char* kind : {"configMap", "secret", "downwardAPI"}) {
      Json& part = source[kind];
      if (part.is_null()) continue;
      if (!part.contains("defaultMode"))
        part["defaultMode"] = integer(member(volume, "projected", "defaultMode"), kDefaultMode);
      if (api_access) part["optional"] = true;
      MUSTER_TRY(std::string_view(kind) == "downwardAPI"
                     ? write_downward(input, part, folder)
                     : write_keys(input, std::string_view(kind) == "secret", part, folder));
    }
  }
  return {};
}

Status check_host_path(const fs::path& path, const std::string& type) {
  const bool create = type.ends_with("OrCreate");
  std::error_code error;
  const bool missing = create && !fs::exists(path, error);
  if (error) return failed_precondition(fmt::format("cannot look at {}: {}", path.string(), error.message()));
  if (missing && type == "DirectoryOrCreate") MUSTER_TRY(make_folder(path));
  if (missing && type == "FileOrCreate") {
    const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!fd.valid())
      return failed_precondition(fmt::format("cannot create {}: {}", path.string(), std::strerror(errno)));
  }
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  struct Kind {
    const char* type;
    mode_t mode;
    const char* name;
  };
  for (const Kind& kind :
       {Kind{"Directory", S_IFDIR, "a directory"}, Kind{"File", S_IFREG, "a file"},
        Kind{"Socket", S_IFSOCK, "a socket"}, Kind{"CharDevice", S_IFCHR, "a character device"},
        Kind{"BlockDevice", S_IFBLK, "a block device"}}) {
    if ((create ? type.substr(0, type.size() - 8) : type) != kind.type) continue;
    if (!there || (info.st_mode & S_IFMT) != kind.mode) {
      return failed_precondition(
          fmt::format("hostPath type check failed: {} is not {}", path.string(), kind.name));
    }
  }
  return {};
}

Result<fs::path> claim_folder(const VolumesInput& input, const std::string& claim_name) {
  const Result<Json> claim = input.read("persistentvolumeclaims", claim_name);
  if (!claim) {
    if (claim.error().code != Code::kNotFound) return claim.error();
    return not_found(fmt::format("persistentvolumeclaim \"{}\" not found", claim_name));
  }
  if (claim_name.find('/') != std::string::npos || !stays_inside(claim_name) || claim_name.empty()) {
    return invalid_argument(fmt::format("\"{}\" is not the name of a claim", claim_name));
  }
  const fs::path folder = input.volumes_folder / namespace_of(input.pod) / claim_name;
  MUSTER_TRY(make_folder(folder));
  MUSTER_TRY(input.claims.hold(folder));
  if (text(member(*claim, "status", "phase")) != "Bound") input.bound(*claim);
  return folder;
}

Result<fs::path> prepare(const VolumesInput& input, const Json& volume, const std::string& name) {
  if (const Json& host = member(volume, "hostPath"); host.is_object()) {
    const fs::path path = text(member(host, "path"));
    MUSTER_TRY(check_host_path(path, text(member(host, "type"))));
    return path;
  }
  if (const Json& claim = member(volume, "persistentVolumeClaim"); claim.is_object()) {
    return claim_folder(input, text(member(claim, "claimName")));
  }
  if (name.empty() || name.find('/') != std::string::npos || !stays_inside(name)) {
    return invalid_argument("not the name of a volume");
  }
  const fs::path folder = input.pod_folder / "volumes" / name;
  MUSTER_TRY(make_folder(folder));
  if (volume.contains("emptyDir")) return folder;
  if (const Json& source = member(volume, "configMap"); source.is_object()) {
    MUSTER_TRY(write_keys(input, false, source, folder));
    return folder;
  }
  if (const Json& source = member(volume, "secret"); source.is_object()) {
    ::chmod(folder.c_str(), 0700);
    MUSTER_TRY(write_keys(input, true, source, folder));
    return folder;
  }
  if (const Json& source = member(volume, "downwardAPI"); source.is_object()) {
    MUSTER_TRY(write_downward(input, source, folder));
    return folder;
  }
  if (member(volume, "projected").is_object()) {
    ::chmod(folder.c_str(), 0700);  // there may be secrets among its sources
    MUSTER_TRY(write_projected(input, volume, folder));
    return folder;
  }
  return failed_precondition(
      "its kind is not available without a cluster; use emptyDir, hostPath, configMap, secret, downwardAPI, "
      "projected or persistentVolumeClaim");
}

}  // namespace

Result<fs::path> place_inside(const fs::path& volume, const fs::path& sub) {
  std::error_code error;
  const fs::path root = fs::canonical(volume, error);
  const fs::path place = error ? fs::path() : fs::weakly_canonical(root / sub, error);
  if (error)
    return failed_precondition(fmt::format("cannot find {}: {}", (volume / sub).string(), error.message()));
  if (std::mismatch(root.begin(), root.end(), place.begin(), place.end()).first != root.end()) {
    return invalid_argument(fmt::format("subPath \"{}\" leads out of its volume by a link", sub.string()));
  }
  if (!fs::exists(place, error)) MUSTER_TRY(make_folder(place));
  return place;
}

Result<fs::path> link_at(const fs::path& at, const fs::path& folder) {
  MUSTER_TRY(make_folder(at.parent_path()));
  std::error_code error;
  fs::remove(at, error);
  fs::create_symlink(fs::absolute(folder, error), at, error);
  if (error) return failed_precondition(fmt::format("cannot make link {}: {}", at.string(), error.message()));
  return at;
}

Result<std::map<std::string, fs::path>> prepare_volumes(const VolumesInput& input) {
  std::map<std::string, fs::path> out;
  for (const Json& volume : member(input.pod, "spec", "volumes")) {
    const std::string name = text(member(volume, "name"));
    Result<fs::path> folder = prepare(input, volume, name);
    if (!folder) return folder.error().in(fmt::format("MountVolume.SetUp failed for volume \"{}\" ", name));
    out.emplace(name, *std::move(folder));
  }
  return out;
}

}  // namespace muster::local
