// learning/dataset.cc: which reader serves which dataset name, and what every dataset must be
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "learning/readers.h"
#include "learning/sha256.h"

namespace muster::learning {
namespace {

constexpr std::int64_t kUsualExamples =
    20;  // of a class, on average: one that has one is no accident of few rows

Result<Dataset> read(const spec::Dataset& spec, std::uint64_t seed) {
  if (spec.name == "synthetic") return make_synthetic(spec.synthetic, seed);
  if (spec.path.empty())
    return invalid_argument(fmt::format("dataset {}: has no path; set dataset.path to its files", spec.name));
  if (spec.name == "fashion-mnist") return read_idx_folder(spec.path, 10);
  if (spec.name == "idx") return read_idx_folder(spec.path, std::nullopt);
  if (spec.name == "csv") return read_csv(spec.path, spec.csv, seed);
  return invalid_argument(
      fmt::format("dataset \"{}\" is unknown; use fashion-mnist, idx, csv or synthetic", spec.name));
}

std::string name_of(const spec::Dataset& spec) {
  return spec.path.empty() ? "dataset " + spec.name : spec.path;
}

// Examples of each class.
std::vector<std::int64_t> class_sizes(const Examples& examples, std::int64_t classes) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(classes));
  for (const std::int32_t label : examples.labels) ++sizes[static_cast<std::size_t>(label)];
  return sizes;
}

Status check_classes(const spec::Dataset& spec, Dataset& data) {
  const auto train = class_sizes(data.train, data.train.class_count);
  const auto test = class_sizes(data.test, data.train.class_count);
  std::int64_t present = 0;
  std::int64_t absent = 0;
  std::int64_t alone = 0;   // has one example
  std::int64_t unseen = 0;  // in the training
  for (std::size_t i = 0; i < train.size(); ++i) {
    if (train[i] + test[i] > 0) ++present;
    if (train[i] + test[i] == 0) ++absent;
    if (train[i] + test[i] == 1) ++alone;
    if (train[i] == 0 && test[i] > 0) ++unseen;
  }
  if (present < 2)
    return invalid_argument(fmt::format(
        "{}: all {} examples have the same label, so there is nothing to learn; check {}", name_of(spec),
        data.train.size() + data.test.size(), spec.name == "csv" ? "dataset.csv.labelColumn" : "the labels"));
  if (present + absent > plausible_classes(present))
    return invalid_argument(fmt::format(
        "{}: its largest label is {}, but it has {} different labels; correct that label, or number "
        "the classes from 0 without gaps",
        name_of(spec), train.size() - 1, present));
  // Classes may count from 1, and those of Fashion-MNIST and of generated data are not told by the labels.
  const bool told_by_labels = spec.name == "csv" || spec.name == "idx";
  const bool gaps = told_by_labels && absent > (train[0] + test[0] == 0 ? 1 : 0);
  if (absent > 0 && !gaps)
    data.notes.push_back(
        fmt::format("{}: no example has one of {} of the {} classes", name_of(spec), absent, train.size()));
  if (gaps)
    data.warnings.push_back(fmt::format(
        "{}: no example has one of {} of the {} classes that its largest label, {}, makes; correct "
        "that label if it is a mistake, or number the classes without gaps",
        name_of(spec), absent, train.size(), train.size() - 1));
  if (alone > 0 && data.train.size() + data.test.size() >= kUsualExamples * present)
    data.warnings.push_back(
        fmt::format("{}: {} of its {} classes have a single example; check whether {} label is a mistake",
                    name_of(spec), alone, present, alone == 1 ? "its" : "their"));
  if (unseen > 0)
    data.warnings.push_back(fmt::format(
        "{}: {} of its {} classes have test examples but no training example, so they cannot be learnt",
        name_of(spec), unseen, train.size()));
  return {};
}

std::string digest_of(const Dataset& data, bool features) {
  std::string head = fmt::format("{}", data.train.class_count);
  for (const Examples* part : {&data.train, &data.test})
    head += fmt::format(" {} of {}", part->size(), fmt::join(part->shape, "x"));
  for (const std::string& name : data.class_names) head += fmt::format(" {}:{}", name.size(), name);
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(head)),
                                                std::as_bytes(std::span(data.device_begin))};
  for (const Examples* part : {&data.train, &data.test}) {
    parts.push_back(std::as_bytes(std::span(part->labels)));
    if (!features) continue;
    parts.push_back(std::as_bytes(std::span(part->features)));
    parts.push_back(std::as_bytes(std::span(part->pixels)));
  }
  return sha256_hex(parts);
}

}  // namespace

void Examples::copy_features(std::int64_t first, std::int64_t count, float* to) const {
  const auto begin = static_cast<std::size_t>(first * feature_count);
  const auto size = static_cast<std::size_t>(count * feature_count);
  if (pixels.empty()) {
    std::memcpy(to, features.data() + begin, size * sizeof(float));
    return;
  }
  const std::uint8_t* const from = pixels.data() + begin;
  for (std::size_t i = 0; i < size; ++i) to[i] = static_cast<float>(from[i]) / 255.0F;
}

Result<Dataset> load_dataset(const spec::Dataset& spec, std::uint64_t seed) {
  MUSTER_ASSIGN(Dataset data, read(spec, seed));
  MUSTER_TRY(check_classes(spec, data));
  // Generated features may differ in their last bit between processors, whose mathematics libraries differ.
  data.digest = digest_of(data, spec.name != "synthetic");
  return data;
}

}  // namespace muster::learning
