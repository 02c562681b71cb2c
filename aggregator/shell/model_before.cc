// aggregator/shell/model_before.cc: names, shapes and digest out of the files of a RoundStore
#include "aggregator/shell/model_before.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include "aggregator/store/round_store.h"
#include "learning/safetensors.h"

namespace muster::agg {
namespace {

namespace fs = std::filesystem;

// As learning::CheckpointStore names them.
constexpr auto kDigest = "dataset_sha256";
constexpr auto kFingerprint = "fingerprint";
constexpr auto kOwner = "owner";
constexpr auto kSlots = "optimizer.";

// What it says under `key` is `value`, and whose model it has.
std::optional<ModelBefore> read(const fs::path& path, const char* key, const std::string& value) {
  auto file = learning::read_safetensors(path);
  if (!file || file->metadata[key] != value || file->metadata[kDigest].empty()) return std::nullopt;
  ModelBefore before{.digest = file->metadata[kDigest], .tensors = {}};
  for (auto& tensor : file->tensors)
    if (!tensor.name.starts_with(kSlots))
      before.tensors.push_back({.name = std::move(tensor.name), .shape = std::move(tensor.shape)});
  return before;
}

}  // namespace

std::optional<ModelBefore> model_before(const spec::Federation& federation, const std::string& uid) {
  if (federation.storage_path.empty()) return std::nullopt;
  const fs::path folder = federation.storage_path;
  if (auto finished = read(folder / "model.safetensors", kOwner, uid)) return finished;
  std::vector<fs::path> rounds;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("round-") && name.ends_with(".safetensors")) rounds.push_back(at->path());
  }
  std::ranges::sort(rounds, std::greater<>());
  const std::string fingerprint = federation_fingerprint(federation);
  for (const fs::path& path : rounds)
    if (auto before = read(path, kFingerprint, fingerprint)) return before;
  return std::nullopt;
}

}  // namespace muster::agg
