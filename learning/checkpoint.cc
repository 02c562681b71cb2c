// learning/checkpoint.cc: numbered checkpoints as safetensors files
#include "learning/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

#include "common/base/check.h"
#include "common/json/fields.h"
#include "common/json/read_json.h"
#include "learning/atomic_file.h"
#include "learning/sha256.h"

namespace muster::learning {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".safetensors";
constexpr std::string_view kModelFile = "model.safetensors";
constexpr std::string_view kHistoryFile = "history.csv";
constexpr auto kOwnerKey = "owner";
constexpr std::string_view kSlotPrefix = "optimizer.";  // tensors of the optimizer: "optimizer.momentum"

// The number in "<prefix>-<digits><extension>".
std::optional<std::int64_t> number_of(const std::string& name, const std::string& prefix) {
  std::string_view rest = name;
  if (!rest.starts_with(prefix + "-") || !rest.ends_with(kExtension)) return std::nullopt;
  rest.remove_prefix(prefix.size() + 1);
  rest.remove_suffix(kExtension.size());
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (rest.empty() || error != std::errc() || stop != rest.data() + rest.size() || number < 0)
    return std::nullopt;
  return number;
}

Json history_to_json(const std::vector<HistoryPoint>& history) {
  Json json = Json::array();
  for (const HistoryPoint& point : history)
    json.push_back({point.at, point.loss, point.accuracy ? Json(*point.accuracy) : Json()});
  return json;
}

// Loss may be null: JSON has no NaN.
std::optional<std::vector<HistoryPoint>> history_from_json(const Json& json) {
  if (!json.is_array()) return std::nullopt;
  std::vector<HistoryPoint> history;
  for (const Json& point : json) {
    if (!point.is_array() || point.size() != 3 || !point[0].is_number_integer() ||
        !(point[1].is_number() || point[1].is_null()) || !(point[2].is_number() || point[2].is_null()))
      return std::nullopt;
    HistoryPoint& read = history.emplace_back();
    read.at = point[0].get<std::int64_t>();
    read.loss = point[1].is_null() ? std::numeric_limits<double>::quiet_NaN() : point[1].get<double>();
    if (point[2].is_number()) read.accuracy = point[2].get<double>();
  }
  return history;
}

// The metadata "state" of a checkpoint, back into `state`; false when it is none.
bool read_counters(const std::string& text, TrainingState& state) {
  const Json json = read_json(text);
  if (!json.is_object()) return false;
  Fields fields(json, "state");
  const IntegerRange counts{.min = 0};
  Json history;
  fields.require("step").integer("step", state.step, counts).integer("epoch", state.epoch, counts);
  fields.integer("examplesIntoEpoch", state.examples_into_epoch, counts);
  fields.integer("optimizerSteps", state.optimizer.steps, counts).raw("history", history);
  auto points = history_from_json(history);
  if (!fields.finish() || !points) return false;
  state.history = std::move(*points);
  return true;
}

std::string history_csv(const std::vector<HistoryPoint>& history) {
  std::string text = "at,loss,accuracy\n";
  for (const HistoryPoint& point : history)
    text += fmt::format("{},{},{}\n", point.at, point.loss,
                        point.accuracy ? fmt::format("{}", *point.accuracy) : "");
  return text;
}

std::string counters_of(const TrainingState& state) {
  return Json{{"step", state.step},
              {"epoch", state.epoch},
              {"examplesIntoEpoch", state.examples_into_epoch},
              {"optimizerSteps", state.optimizer.steps},
              {"history", history_to_json(state.history)}}
      .dump();
}

void remove_temporaries(const fs::path& folder, const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool ours =
        name.starts_with(prefix + "-") || name.starts_with(kModelFile) || name.starts_with(kHistoryFile);
    if (ours && name.ends_with(kTemporarySuffix)) fs::remove(entry.path(), ignored);
  }
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return file_error("create the folder", folder, error.value());
  return {};
}

}  // namespace

OptimizerState capture(Optimizer& optimizer) {
  OptimizerState state;
  state.steps = optimizer.steps();
  for (const auto& slot : optimizer.slots())
    state.slots.push_back({slot.name, {slot.values.begin(), slot.values.end()}});
  return state;
}

Status restore(Optimizer& optimizer, const OptimizerState& state) {
  const auto slots = optimizer.slots();
  bool fits = slots.size() == state.slots.size();
  for (std::size_t i = 0; fits && i < slots.size(); ++i)
    fits = slots[i].name == state.slots[i].name && slots[i].values.size() == state.slots[i].values.size();
  if (!fits)
    return invalid_argument(
        "checkpoint: its optimizer state is of another optimizer or model; use the same spec");
  for (std::size_t i = 0; i < slots.size(); ++i)
    std::copy(state.slots[i].values.begin(), state.slots[i].values.end(), slots[i].values.begin());
  optimizer.set_steps(state.steps);
  return {};
}

CheckpointStore::CheckpointStore(CheckpointOptions options, std::span<const Tensor> tensors)
    : options_(std::move(options)), tensors_(tensors.begin(), tensors.end()) {
  MUSTER_CHECK(options_.keep >= 1 && !options_.prefix.empty());
}

std::vector<fs::path> CheckpointStore::numbered() const {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(options_.folder, ignored))
    if (const auto number = number_of(entry.path().filename().string(), options_.prefix))
      found.emplace_back(*number, entry.path());
  std::sort(found.begin(), found.end());
  std::vector<fs::path> paths;
  for (auto& [number, path] : found) paths.push_back(std::move(path));
  return paths;
}

std::vector<NamedTensor> CheckpointStore::named(std::span<const float> parameters) const {
  std::vector<NamedTensor> result;
  for (const Tensor& tensor : tensors_)
    result.push_back(
        {tensor.name, tensor.shape,
         parameters.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.size))});
  return result;
}

Status CheckpointStore::save(const TrainingState& state) {
  MUSTER_TRY(make_folder(options_.folder));
  auto tensors = named(state.parameters);
  for (const auto& slot : state.optimizer.slots)
    tensors.push_back({std::string(kSlotPrefix) + slot.name, {std::ssize(slot.values)}, slot.values});
  const auto path = options_.folder / fmt::format("{}-{:08d}{}", options_.prefix, state.step, kExtension);
  MUSTER_TRY(write_safetensors(path, tensors,
                               {{"fingerprint", options_.fingerprint}, {"state", counters_of(state)}}));
  remove_temporaries(options_.folder, options_.prefix);
  auto paths = numbered();
  std::error_code ignored;  // a file too many does no harm
  while (std::ssize(paths) > options_.keep) {
    const auto oldest =
        std::find_if(paths.begin(), paths.end(), [&](const fs::path& old) { return old != path; });
    fs::remove(*oldest, ignored);
    paths.erase(oldest);
  }
  return {};
}

Result<TrainingState> CheckpointStore::load(const fs::path& path) const {
  MUSTER_ASSIGN(SafetensorsFile file, read_safetensors(path));
  return state_of(std::move(file), path);
}

// By the owner and not by the fingerprint: the same manifest applied again is another object, and starts
// afresh.
std::optional<TrainingState> CheckpointStore::load_finished() const {
  const fs::path path = options_.folder / kModelFile;
  if (options_.owner.empty()) return std::nullopt;
  auto file = read_safetensors(path);
  if (!file || file->metadata[kOwnerKey] != options_.owner) return std::nullopt;
  auto state = state_of(std::move(*file), path);
  return state ? std::optional(std::move(*state)) : std::nullopt;
}

Result<TrainingState> CheckpointStore::state_of(SafetensorsFile file, const fs::path& path) const {
  const auto damaged = [&](std::string_view fact) {
    return data_loss(fmt::format("{}: {}", path.string(), fact));
  };
  const std::string& fingerprint = file.metadata["fingerprint"];
  if (fingerprint != options_.fingerprint)
    return failed_precondition(
        fmt::format("{}: is a checkpoint of another training (its fingerprint is \"{}\", this one's "
                    "\"{}\"); use another folder, or remove the file to start afresh",
                    path.string(), fingerprint, options_.fingerprint));
  TrainingState state;
  if (!read_counters(file.metadata["state"], state)) return damaged("its metadata hold no training state");
  std::size_t next = 0;
  for (const Tensor& tensor : tensors_) {
    if (next >= file.tensors.size() || file.tensors[next].name != tensor.name ||
        file.tensors[next].shape != tensor.shape)
      return damaged(fmt::format("lacks tensor \"{}\" in the model's shape", tensor.name));
    const auto& values = file.tensors[next++].values;
    state.parameters.insert(state.parameters.end(), values.begin(), values.end());
  }
  for (; next < file.tensors.size(); ++next) {
    auto& entry = file.tensors[next];
    if (!entry.name.starts_with(kSlotPrefix))
      return damaged(fmt::format("has an unknown tensor \"{}\"", entry.name));
    state.optimizer.slots.push_back({entry.name.substr(kSlotPrefix.size()), std::move(entry.values)});
  }
  return state;
}

Result<LoadedState> CheckpointStore::load_newest() const {
  LoadedState loaded;
  std::error_code error;
  fs::directory_iterator(options_.folder, error);
  if (error && error != std::errc::no_such_file_or_directory)
    return file_error("read the checkpoints in", options_.folder, error.value());
  if ((loaded.state = load_finished())) {
    loaded.finished = true;
    loaded.path = options_.folder / kModelFile;
    return loaded;
  }
  auto paths = numbered();
  std::reverse(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    auto state = load(path);
    if (state) {
      loaded.state = std::move(*state);
      loaded.path = path;
      return loaded;
    }
    if (state.error().code != Code::kDataLoss && state.error().code != Code::kNotFound) return state.error();
    loaded.skipped.push_back(state.error().message);
  }
  return loaded;
}

Status CheckpointStore::finish(const TrainingState& state) {
  MUSTER_TRY(make_folder(options_.folder));
  std::map<std::string, std::string> metadata{{"fingerprint", options_.fingerprint},
                                              {options_.prefix, fmt::format("{}", state.step)}};
  if (!options_.owner.empty()) {
    metadata[kOwnerKey] = options_.owner;
    metadata["state"] = counters_of(state);
  }
  MUSTER_TRY(write_safetensors(options_.folder / kModelFile, named(state.parameters), metadata));
  const std::string history = history_csv(state.history);
  const auto bytes = std::as_bytes(std::span(history));
  MUSTER_TRY(write_atomically(options_.folder / kHistoryFile, std::span(&bytes, 1)));
  std::error_code ignored;
  for (const fs::path& path : numbered()) fs::remove(path, ignored);
  remove_temporaries(options_.folder, options_.prefix);
  return {};
}

std::string fingerprint_of(std::string_view canonical_text) {
  return sha256_hex(std::as_bytes(std::span(canonical_text))).substr(0, 16);
}

}  // namespace muster::learning
