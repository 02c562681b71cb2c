#pragma once  // common/spec/paths.h: which paths of a manifest a pod may read and write
#include <cstddef>
#include <optional>
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
// What of `path` lies behind `folder`, which holds it: "m/x" of "/ckpt/m/x" in "/ckpt", "" of the folder
// itself; both in normal form.
[[nodiscard]] std::string behind(const std::string& path, const std::string& folder);
// Where a container has a mount: a kubelet takes "ckpt" for "/ckpt". In normal form.
[[nodiscard]] std::string mount_path(const std::string& told);
// Which of the mounts holds `path`: the one with the longest path, of equal ones the first; their index, or
// nothing. Any spelling of either is taken. The one rule by which the operator judges a spec, a pod without a
// cluster finds its folder and `muster run` finds the model.
[[nodiscard]] std::optional<std::size_t> mount_of(const std::string& path,
                                                  const std::vector<std::string>& mounts);
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
