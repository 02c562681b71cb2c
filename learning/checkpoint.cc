// learning/checkpoint.cc: numbered checkpoints as safetensors files
#include "learning/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/json/defaults.h"
#include "learning/atomic_file.h"
#include "learning/counters.h"
#include "learning/sha256.h"

namespace muster::learning {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".safetensors";
constexpr std::string_view kModelFile = "model.safetensors";
constexpr std::string_view kHistoryFile = "history.csv";
// Of the metadata.
constexpr auto kOwnerKey = "owner";
constexpr auto kFingerprintKey = "fingerprint";
constexpr auto kDataKey = "dataset_sha256";
constexpr auto kClassesKey = "classes";  // a JSON array of names
constexpr auto kStateKey = "state";
constexpr auto kLedgerKey = "ledger";
constexpr std::size_t kShownBytes = 16;                 // of a digest or a name out of a file, in a message
constexpr std::string_view kSlotPrefix = "optimizer.";  // tensors of the optimizer: "optimizer.momentum"

// The number in "<prefix>-<digits><extension>" as save writes it: a "step-5" is somebody else's file.
std::optional<std::int64_t> number_of(const std::string& name, const std::string& prefix) {
  std::string_view rest = name;
  if (!rest.starts_with(prefix + "-") || !rest.ends_with(kExtension)) return std::nullopt;
  rest.remove_prefix(prefix.size() + 1);
  rest.remove_suffix(kExtension.size());
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc() || stop != rest.data() + rest.size() || number < 0) return std::nullopt;
  if (rest != fmt::format("{:08}", number)) return std::nullopt;
  return number;
}

std::string history_csv(std::span<const HistoryPoint> history) {
  std::string text = "at,loss,accuracy\n";
  for (const HistoryPoint& point : history)
    text += fmt::format("{},{},{}\n", point.at, point.loss,
                        point.accuracy ? fmt::format("{}", *point.accuracy) : "");
  return text;
}

void remove_temporaries(const fs::path& folder, const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool ours =
        name.starts_with(prefix + "-") || name.starts_with(kModelFile) || name.starts_with(kHistoryFile);
    if (ours && name.ends_with(kTemporarySuffix)) remove_stale_temporary(entry.path());
  }
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return file_error("create the folder", folder, error.value());
  return {};
}

}  // namespace

std::string digest_of(const TrainingState& state) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span(state.parameters)));
  digest.update(std::as_bytes(std::span(&state.optimizer.steps, 1)));
  for (const OptimizerState::Slot& slot : state.optimizer.slots) {
    digest.update(std::as_bytes(std::span(slot.name)));
    digest.update(std::as_bytes(std::span(slot.values)));
  }
  return digest.hex();
}

OptimizerState capture(Optimizer& optimizer) {
  OptimizerState state;
  state.steps = optimizer.steps();
  for (const auto& slot : optimizer.slots())
    state.slots.push_back({slot.name, {slot.values.begin(), slot.values.end()}});
  return state;
}

OptimizerState without_outer(OptimizerState state) {
  std::erase_if(state.slots,
                [](const OptimizerState::Slot& slot) { return slot.name.starts_with(kOuterSlotPrefix); });
  return state;
}

Status restore(Optimizer& optimizer, const OptimizerState& state) {
  std::vector<SlotView> told;
  for (const OptimizerState::Slot& slot : state.slots)
    if (!slot.name.starts_with(kOuterSlotPrefix)) told.push_back({slot.name, slot.values});
  if (told.size() == 1) optimizer.make_room(told.front().values.size());
  const auto slots = optimizer.slots();
  bool fits = slots.size() == told.size();
  for (std::size_t i = 0; fits && i < slots.size(); ++i)
    fits = slots[i].name == told[i].name && slots[i].values.size() == told[i].values.size();
  if (!fits)
    return invalid_argument(
        "checkpoint: its optimizer state is of another optimizer or model; use the same spec");
  for (std::size_t i = 0; i < slots.size(); ++i)
    std::copy(told[i].values.begin(), told[i].values.end(), slots[i].values.begin());
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
  paths.reserve(found.size());
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

Status CheckpointStore::save(const TrainingStateView& state) {
  MUSTER_TRY(make_folder(options_.folder));
  auto tensors = named(state.parameters);
  for (const SlotView& slot : state.slots)
    tensors.push_back({std::string(kSlotPrefix) + slot.name, {std::ssize(slot.values)}, slot.values});
  const auto path = options_.folder / fmt::format("{}-{:08d}{}", options_.prefix, state.step, kExtension);
  auto described = metadata();
  described[kStateKey] = counters_of(state);
  if (state.ledger) described[kLedgerKey] = text_of(*state.ledger);
  MUSTER_TRY(write_safetensors(path, tensors, described));
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
Result<std::optional<TrainingState>> CheckpointStore::load_finished() const {
  const fs::path path = options_.folder / kModelFile;
  if (options_.owner.empty()) return std::optional<TrainingState>();
  auto file = read_safetensors(path);
  if (!file || file->metadata[kOwnerKey] != options_.owner) return std::optional<TrainingState>();
  auto state = state_of(std::move(*file), path);
  if (state) return std::optional(std::move(*state));
  if (state.error().code == Code::kFailedPrecondition) return state.error();
  return std::optional<TrainingState>();
}

std::map<std::string, std::string> CheckpointStore::metadata() const {
  std::map<std::string, std::string> described{{kFingerprintKey, options_.fingerprint}};
  if (!options_.data_digest.empty()) described[kDataKey] = options_.data_digest;
  if (!options_.class_names.empty())
    described[kClassesKey] = Json(options_.class_names).dump(-1, ' ', false, Json::error_handler_t::replace);
  return described;
}

// A digest is compared where both sides have one: older files have none.
Status CheckpointStore::check_origin(const SafetensorsFile& file, const fs::path& path) const {
  const auto stored = [&](const char* key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? std::string() : found->second;
  };
  if (const auto fingerprint = stored(kFingerprintKey); fingerprint != options_.fingerprint)
    return failed_precondition(
        fmt::format("{}: is a checkpoint of another training (its fingerprint is \"{}\", this one's "
                    "\"{}\"); use another folder, or remove the file to start afresh",
                    path.string(), clip(fingerprint, kShownBytes), options_.fingerprint));
  const auto data = stored(kDataKey);
  if (!data.empty() && !options_.data_digest.empty() && data != options_.data_digest)
    return failed_precondition(
        fmt::format("{}: is a checkpoint of a training on other data (its digest is {}, that of the data now "
                    "{}); restore the dataset, use another folder, or remove the file to start afresh",
                    path.string(), clip(data, kShownBytes), clip(options_.data_digest, kShownBytes)));
  return {};
}

Result<TrainingState> CheckpointStore::state_of(SafetensorsFile file, const fs::path& path) const {
  MUSTER_TRY(check_origin(file, path));
  TrainingState state;
  std::size_t count = 0;
  for (const Tensor& tensor : tensors_) count += static_cast<std::size_t>(tensor.size);
  state.parameters.reserve(count);  // a vector that grows takes up to three times as much
  if (!read_counters(file.metadata[kStateKey], state))
    return data_loss(fmt::format("{}: its metadata hold no training state", path.string()));
  if (const auto ledger = file.metadata.find(kLedgerKey); ledger != file.metadata.end()) {
    state.ledger = read_ledger(ledger->second);
    if (!state.ledger || !state.ledger->fits(state.epoch))
      return data_loss(fmt::format("{}: its ledger is none of this training state", path.string()));
  }
  const auto misfit = [&](const std::string& fact) {
    return failed_precondition(fmt::format(
        "{}: is a checkpoint of another model: {}; use another folder, or remove the file to start afresh",
        path.string(), fact));
  };
  // By name: the file's order is that of the data, which says nothing of tensors without values.
  std::map<std::string, SafetensorsFile::Entry*> stored_as;
  for (auto& entry : file.tensors) stored_as.emplace(entry.name, &entry);
  for (const Tensor& tensor : tensors_) {
    const auto found = stored_as.find(tensor.name);
    if (found == stored_as.end()) return misfit(fmt::format("it lacks tensor \"{}\"", tensor.name));
    if (found->second->shape != tensor.shape)
      return misfit(fmt::format("its tensor \"{}\" is [{}], this model's is [{}]", tensor.name,
                                fmt::join(found->second->shape, ", "), fmt::join(tensor.shape, ", ")));
    const std::vector<float> values = std::move(found->second->values);  // gone once it is copied
    state.parameters.insert(state.parameters.end(), values.begin(), values.end());
    stored_as.erase(found);
  }
  for (auto& entry : file.tensors) {
    if (!stored_as.contains(entry.name)) continue;
    if (!entry.name.starts_with(kSlotPrefix))
      return misfit(fmt::format("its tensor \"{}\" is none of this model's", clip(entry.name, kShownBytes)));
    state.optimizer.slots.push_back({entry.name.substr(kSlotPrefix.size()), std::move(entry.values)});
  }
  return state;
}

Result<LoadedState> CheckpointStore::load_newest() const {
  LoadedState loaded;
  std::error_code error;
  const fs::directory_iterator readable(options_.folder, error);
  if (error && error != std::errc::no_such_file_or_directory)
    return file_error("read the checkpoints in", options_.folder, error.value());
  MUSTER_ASSIGN(loaded.state, load_finished());
  if (loaded.state) {
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

// It may have cost days. The same training again, or a damaged file, is overwritten.
Status CheckpointStore::set_aside_another_model() const {
  const fs::path model = options_.folder / kModelFile;
  const auto file = read_safetensors(model);
  if (file ? check_origin(*file, model).has_value()
           : file.error().code == Code::kNotFound || file.error().code == Code::kDataLoss)
    return {};
  const auto numbered_name = [&](std::string_view name, int number) {
    const fs::path path(name);
    return options_.folder / fmt::format("{}.{}{}", path.stem().string(), number, path.extension().string());
  };
  std::error_code error;
  int number = 1;
  while (fs::exists(fs::symlink_status(numbered_name(kModelFile, number), error))) ++number;
  const fs::path kept = numbered_name(kModelFile, number);
  fs::rename(model, kept, error);
  if (error) return file_error("rename", model, error.value());
  fs::rename(options_.folder / kHistoryFile, numbered_name(kHistoryFile, number), error);  // if there is one
  if (options_.note)
    options_.note(fmt::format("{} was the model of another training; it is {} now", model.string(),
                              kept.filename().string()));
  return {};
}

Status CheckpointStore::finish(const TrainingStateView& state) {
  MUSTER_TRY(make_folder(options_.folder));
  MUSTER_TRY(set_aside_another_model());
  auto described = metadata();
  described[options_.prefix] = fmt::format("{}", state.step);
  if (!options_.owner.empty()) {
    described[kOwnerKey] = options_.owner;
    described[kStateKey] = counters_of(state);
    if (state.ledger) described[kLedgerKey] = text_of(*state.ledger);
  }
  MUSTER_TRY(write_safetensors(options_.folder / kModelFile, named(state.parameters), described));
  const std::string history = history_csv(state.history);
  const auto bytes = std::as_bytes(std::span(history));
  MUSTER_TRY(write_atomically(options_.folder / kHistoryFile, std::span(&bytes, 1)));
  std::error_code ignored;
  for (const fs::path& path : numbered()) fs::remove(path, ignored);
  remove_temporaries(options_.folder, options_.prefix);
  return {};
}

std::string fingerprint_of(const Json& spec, const Json& defaults) {
  const std::string text = without_defaults(spec, defaults).dump();
  return sha256_hex(std::as_bytes(std::span(text))).substr(0, 16);
}

}  // namespace muster::learning
