// aggregator/shell/model_intake.cc: what client pods say of their model, which comes from outside
#include "aggregator/shell/model_intake.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/platform/log.h"
#include "learning/sha256.h"

namespace muster::agg {
namespace {

// No model begins near it, and no training comes there. A buffer's constant (the -1e9 of a mask) may be
// beyond what an update may move (kMoveMax), but sums of squares of a billion such values are still float32.
constexpr float kBeginMax = 0x1p40F;
// Each chunk is an allocation of its own: of one byte each they would take more than what they hold.
constexpr std::size_t kChunkMin = 64 << 10;
constexpr std::uint64_t kSlowest = std::uint64_t{1} << 20;  // bytes a second of an offer that keeps its place

std::int64_t parameters_of(const std::vector<program::TensorShape>& tensors) {
  std::int64_t count = 0;
  for (const program::TensorShape& tensor : tensors) count += program::elements_of(tensor);
  return count;
}

// The tensor that holds the parameter `index`.
std::string tensor_at(const std::vector<program::TensorShape>& tensors, std::int64_t index) {
  for (const program::TensorShape& tensor : tensors) {
    if (index < program::elements_of(tensor)) return program::words(tensor);
    index -= program::elements_of(tensor);
  }
  return "nothing";
}

Error gave_way(const std::string& whom) {
  return resource_exhausted("the model of " + whom +
                            " came too slowly, or twice, and gave way; ask again in a moment");
}

// Each chunk is freed as soon as its values are read.
std::vector<float> values_of(std::deque<std::vector<std::byte>> chunks, std::uint64_t bytes) {
  std::vector<float> values(bytes / sizeof(float));
  auto to = std::as_writable_bytes(std::span(values));
  for (; !chunks.empty(); chunks.pop_front()) {
    std::ranges::copy(chunks.front(), to.begin());
    to = to.subspan(chunks.front().size());
  }
  return values;
}

}  // namespace

std::string digest_of(const std::vector<program::TensorShape>& tensors) {
  return learning::sha256_hex(program::write_tensors(tensors));
}

Result<std::vector<program::TensorShape>> ModelIntake::read(const std::string& whom,
                                                            std::span<const std::byte> tensors) const {
  auto read = program::read_tensors(tensors);
  if (!read) return read.error().in("the model of " + whom);
  const auto bytes = static_cast<std::uint64_t>(parameters_of(*read)) * sizeof(float);
  if (bytes > bytes_max_)
    return invalid_argument(fmt::format(
        "the model of {} has {} MiB, and this aggregator room for one of {}: raise the memory limit of "
        "spec.aggregator.template, or use a smaller model",
        whom, bytes >> 20, bytes_max_ >> 20));
  MUSTER_TRY(as_before(whom, *read));
  return read;
}

Status ModelIntake::as_before(const std::string& whom,
                              const std::vector<program::TensorShape>& tensors) const {
  if (!before_ || before_->digest == digest_of(tensors)) return {};
  auto there = before_->tensors;
  for (std::size_t i = 0; i < std::min(there.size(), tensors.size()); ++i) there[i].type = tensors[i].type;
  return invalid_argument(fmt::format(
      "the rounds in spec.aggregator.storage, from which this federation goes on, are of a model with the "
      "hash {:.16}, the program of {} has one with {:.16}: {}; run the program that began, or use another "
      "folder",
      before_->digest, whom, digest_of(tensors),
      there == tensors ? "the type of a parameter differs" : program::first_difference(there, tensors)));
}

Status ModelIntake::same(const std::string& whom, const std::vector<program::TensorShape>& tensors) const {
  if (tensors_ == tensors) return {};
  return invalid_argument(fmt::format(
      "the program of {} has a model with the hash {:.16}, that of {} one with {:.16}: {}; all clients must "
      "build the same model",
      first_, digest_of(tensors_), whom, digest_of(tensors), program::first_difference(tensors_, tensors)));
}

Result<bool> ModelIntake::compare(const std::string& whom, std::span<const std::byte> tensors) {
  MUSTER_ASSIGN(const auto read_ones, read(whom, tensors));
  const MutexLock lock(mutex_);
  if (tensors_.empty()) return true;
  MUSTER_TRY(same(whom, read_ones));
  return false;
}

Result<std::unique_ptr<ModelIntake::Offer>> ModelIntake::begin(const std::string& whom,
                                                               std::span<const std::byte> tensors,
                                                               std::uint64_t value_bytes) {
  MUSTER_ASSIGN(auto read_ones, read(whom, tensors));
  const auto due = static_cast<std::uint64_t>(parameters_of(read_ones)) * sizeof(float);
  if (value_bytes != due)
    return invalid_argument(
        fmt::format("{} promises {} bytes of a model that has {}", whom, value_bytes, due));
  Held given_up;  // destroyed after the lock
  const MutexLock lock(mutex_);
  if (!tensors_.empty()) {
    MUSTER_TRY(same(whom, read_ones));
    return std::unique_ptr<Offer>();
  }
  if (offer_ != nullptr) {
    if (!gives_way(*offer_, whom))
      return resource_exhausted("another client's model is on its way; ask again in a moment");
  }
  given_up = std::exchange(held_, {.tensors = std::move(read_ones), .chunks = {}});
  std::unique_ptr<Offer> offer(new Offer(*this, whom, due));
  offer_ = offer.get();
  return offer;
}

bool ModelIntake::gives_way(const Offer& offer, const std::string& to) const {
  const auto allowed = patience_ + std::chrono::milliseconds(offer.received_ * 1000 / kSlowest);
  return offer.whom_ == to || std::chrono::steady_clock::now() - offer.begun_ >= allowed;
}

Status ModelIntake::Offer::append(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t received = received_;
  if (offset != received || bytes.empty() || bytes.size() > bytes_ - received)
    return invalid_argument(fmt::format("{} sends bytes {} to {} of its model, where byte {} of {} was due",
                                        whom_, offset, offset + bytes.size(), received, bytes_));
  if (bytes.size() < kChunkMin && bytes.size() < bytes_ - received)
    return invalid_argument(
        fmt::format("{} sends {} bytes of its model at once, where all chunks but the last have {} at least; "
                    "send larger ones",
                    whom_, bytes.size(), kChunkMin));
  std::vector<std::byte> chunk(bytes.begin(), bytes.end());
  const MutexLock lock(intake_.mutex_);
  if (intake_.offer_ != this) return gave_way(whom_);
  intake_.held_.chunks.push_back(std::move(chunk));
  received_ = received + bytes.size();
  return {};
}

ModelIntake::Offer::~Offer() {
  Held given_up;
  const MutexLock lock(intake_.mutex_);
  if (intake_.offer_ != this) return;
  intake_.offer_ = nullptr;
  given_up = std::exchange(intake_.held_, {});
}

Status ModelIntake::take(std::unique_ptr<Offer> offer) {
  Held held;
  {
    const MutexLock lock(mutex_);
    if (offer_ != offer.get()) return gave_way(offer->whom_);
    held = std::exchange(held_, {});
  }
  std::vector<float> values = values_of(std::move(held.chunks), offer->bytes_);
  const auto wrong =
      std::ranges::find_if(values, [](float value) { return !(std::abs(value) <= kBeginMax); });
  if (wrong != values.end())
    return invalid_argument(fmt::format(
        "the model of {} begins with values that are not finite or beyond {:.3g}, in {}; see how its program "
        "makes it, and leave such a constant out of the model (a buffer with persistent=False)",
        offer->whom_, kBeginMax, tensor_at(held.tensors, wrong - values.begin())));
  const MutexLock lock(mutex_);
  if (!tensors_.empty()) return {};  // another's was whole first, and has the same tensors
  first_ = offer->whom_;
  tensors_ = held.tensors;
  spdlog::info("the model is that of {} parameters={} sha256={:.16}", first_, values.size(),
               digest_of(tensors_));
  model_ = OfferedModel{.tensors = std::move(held.tensors), .values = std::move(values)};
  come_.notify_all();
  return {};
}

std::optional<OfferedModel> ModelIntake::wait(std::chrono::milliseconds timeout) {
  MutexLock lock(mutex_);
  come_.wait_for(lock, timeout, [this]() MUSTER_REQUIRES(mutex_) { return model_.has_value(); });
  return std::exchange(model_, std::nullopt);
}

}  // namespace muster::agg
