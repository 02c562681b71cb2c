#pragma once  // common/spec/paths.h: which paths of a manifest a pod may read and write
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace muster::spec {

struct Mount {  // of the container that carries the role
  std::string path;
  bool writable = true;
};

// By its text alone: absolute, without ".", "..", doubled or trailing slashes.
[[nodiscard]] std::string normal_path(const std::string& path);
// Whether `path` is `folder` or lies below it; both in normal form.
[[nodiscard]] bool is_inside(std::string_view path, std::string_view folder);
// Whether the path, in normal form, lies in /proc, /sys, /dev, /etc, /run or /var/run: what is there belongs
// to the system and to the pod's identity, and is no dataset.
[[nodiscard]] bool is_system_path(std::string_view path);

// Whether a dataset may lie there: in a volume or in the image, but not among the system's files. `field`
// names the path in the error.
[[nodiscard]] Status check_dataset_path(const std::string& path, const std::string& field);

// The path of the mount that holds the checkpoint folder `path`. Error: none does, or only one that cannot be
// written; it names the mounts and `remedy`.
[[nodiscard]] Result<std::string> storage_mount(const std::string& path, const std::string& field,
                                                const std::vector<Mount>& mounts, const std::string& remedy);

}  // namespace muster::spec
