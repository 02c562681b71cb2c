// tests/fuzz/dataset_fuzz.cc: files of examples. The first byte: 0 CSV, else IDX: images and labels, cut at
// that byte.
#include <cmath>

#include "learning/readers.h"
#include "tests/fuzz/file.h"

namespace {

void check(const muster::learning::Examples& examples) {
  const std::size_t values = examples.features.size() + examples.pixels.size();
  MUSTER_CHECK(static_cast<std::int64_t>(values) == examples.size() * examples.feature_count);
  for (const float value : examples.features) MUSTER_CHECK(std::isfinite(value));
  for (const auto label : examples.labels) MUSTER_CHECK(label >= 0 && label < examples.class_count);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const muster::fuzz::Folder kFolder;
  if (size == 0) return 0;
  const std::string_view bytes = muster::fuzz::text_of(data + 1, size - 1);
  muster::Result<muster::learning::Dataset> loaded = muster::learning::Dataset{};
  if (data[0] == 0) {
    loaded = muster::learning::read_csv(kFolder.write("data.csv", bytes), {.label_column = "label"}, 1);
  } else {
    const std::size_t cut = std::min<std::size_t>(data[0], bytes.size());
    for (const char* set : {"train", "t10k"}) {
      kFolder.write((std::string(set) + "-images-idx3-ubyte").c_str(), bytes.substr(cut));
      kFolder.write((std::string(set) + "-labels-idx1-ubyte").c_str(), bytes.substr(0, cut));
    }
    loaded = muster::learning::read_idx_folder(kFolder.path(), std::nullopt);
  }
  if (!loaded) return 0;
  check(loaded->train);
  check(loaded->test);
  return 0;
}
