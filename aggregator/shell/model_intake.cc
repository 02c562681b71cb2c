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

std::string hash_of(const std::vector<program::TensorShape>& tensors) {
  return learning::sha256_hex(program::write_tensors(tensors));
}

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

}  // namespace

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
  return read;
}

Status ModelIntake::same(const std::string& whom, const std::vector<program::TensorShape>& tensors) const {
  if (tensors_ == tensors) return {};
  return invalid_argument(fmt::format(
      "the program of {} has a model with the hash {:.16}, that of {} one with {:.16}: {}; all clients must "
      "build the same model",
      first_, hash_of(tensors_), whom, hash_of(tensors), program::first_difference(tensors_, tensors)));
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
  const MutexLock lock(mutex_);
  if (!tensors_.empty()) MUSTER_TRY(same(whom, read_ones));
  if (std::exchange(offering_, true))
    return resource_exhausted("another client's model is on its way; ask again in a moment");
  return std::unique_ptr<Offer>(new Offer(*this, whom, std::move(read_ones), due));
}

Status ModelIntake::Offer::append(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (offset != received_ || bytes.empty() || bytes.size() > bytes_ - received_)
    return invalid_argument(fmt::format("{} sends bytes {} to {} of its model, where byte {} of {} was due",
                                        whom_, offset, offset + bytes.size(), received_, bytes_));
  const std::uint64_t end = received_ + bytes.size();
  values_.resize((end + sizeof(float) - 1) / sizeof(float));
  std::memcpy(std::as_writable_bytes(std::span(values_)).data() + received_, bytes.data(), bytes.size());
  received_ = end;
  return {};
}

ModelIntake::Offer::~Offer() {
  const MutexLock lock(intake_.mutex_);
  intake_.offering_ = false;
}

Status ModelIntake::take(std::unique_ptr<Offer> offer) {
  const auto wrong = std::ranges::find_if(offer->values_, [](float value) { return !std::isfinite(value); });
  if (wrong != offer->values_.end())
    return invalid_argument(fmt::format(
        "the model of {} begins with values that are not finite, in {}; see how its program makes it",
        offer->whom_, tensor_at(offer->tensors_, wrong - offer->values_.begin())));
  const MutexLock lock(mutex_);
  if (!tensors_.empty()) return {};  // another's was whole first, and has the same tensors
  first_ = offer->whom_;
  tensors_ = offer->tensors_;
  spdlog::info("the model is that of {} parameters={} sha256={:.16}", first_, offer->values_.size(),
               hash_of(tensors_));
  model_ = OfferedModel{.tensors = std::move(offer->tensors_), .values = std::move(offer->values_)};
  come_.notify_all();
  return {};
}

std::optional<OfferedModel> ModelIntake::wait(std::chrono::milliseconds timeout) {
  MutexLock lock(mutex_);
  come_.wait_for(lock, timeout, [this]() MUSTER_REQUIRES(mutex_) { return model_.has_value(); });
  return std::exchange(model_, std::nullopt);
}

}  // namespace muster::agg
