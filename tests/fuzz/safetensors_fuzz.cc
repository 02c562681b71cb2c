// tests/fuzz/safetensors_fuzz.cc: safetensors files, and checkpoints, which are such files.
#include "learning/checkpoint.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::learning;
  static const muster::fuzz::Folder kFolder;
  static const std::vector<Tensor> kTensors = {{"w", {2, 2}, 0, 4}, {"b", {2}, 4, 2}};
  const auto path = kFolder.write("step-00000001.safetensors", muster::fuzz::text_of(data, size));
  const auto file = read_safetensors(path);
  if (file) {
    std::vector<NamedTensor> tensors;
    for (const auto& entry : file->tensors) tensors.push_back({entry.name, entry.shape, entry.values});
    MUSTER_CHECK(write_safetensors(kFolder.path() / "again", tensors, file->metadata).has_value());
    MUSTER_CHECK(read_safetensors(kFolder.path() / "again").has_value());
  }
  const CheckpointStore store({kFolder.path(), "step", "f", 3}, kTensors);
  if (const auto loaded = store.load_newest(); loaded && loaded->state)
    MUSTER_CHECK(loaded->state->parameters.size() == 6);
  return 0;
}
