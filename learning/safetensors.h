#pragma once  // learning/safetensors.h: the safetensors file format, written atomically, read as hostile
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace muster::learning {

struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;  // product(shape) elements
};

// Writes `path` (F32 only): temporary file in the same folder, fsync, rename, fsync of the folder. On an
// error the old file, if any, is whole and no temporary is left. `metadata` goes to "__metadata__", with a
// "sha256" of the data section added.
// Errors: kResourceExhausted (disk full: names file and bytes needed), kNotFound, kPermissionDenied.
[[nodiscard]] Status write_safetensors(const std::filesystem::path& path,
                                       std::span<const NamedTensor> tensors,
                                       const std::map<std::string, std::string>& metadata);

struct SafetensorsFile {
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };
  std::vector<Entry> tensors;  // in order of their data
  std::map<std::string, std::string> metadata;
};

// Errors: kNotFound; kDataLoss: truncated, overlapping offsets, bad header, checksum mismatch (when the
// file carries one); kFailedPrecondition: other dtypes than F32.
[[nodiscard]] Result<SafetensorsFile> read_safetensors(const std::filesystem::path& path);

}  // namespace muster::learning
