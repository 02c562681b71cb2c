#pragma once  // aggregator/shell/model_intake.h: the model of a federation whose clients are programs, from
              // the first that comes
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "common/program/protocol.h"

namespace muster::agg {

struct OfferedModel {
  std::vector<program::TensorShape> tensors;
  std::vector<float> values;  // [P] the initial parameters
};

struct ModelBefore {  // of committed rounds from which the federation goes on
  std::string digest;
  std::vector<program::TensorShape> tensors;  // names and shapes; the types are in the digest alone
};
// SHA-256 of the tensors' names, shapes and types: what a model's rounds are stored with.
[[nodiscard]] std::string digest_of(const std::vector<program::TensorShape>& tensors);

// Thread-safe. The first whole offer is the model, where `before` has one, only if it has the same tensors;
// whoever comes later has the same tensors or is refused. Of what comes meanwhile one offer's values are held
// at a time, in memory that has really come.
class ModelIntake {
 public:
  // An offer may take `patience`, and a second for each MiB that has come, until it gives way to another
  // pod's.
  explicit ModelIntake(std::uint64_t bytes_max, std::optional<ModelBefore> before = std::nullopt,
                       std::chrono::milliseconds patience = std::chrono::seconds(10))
      : bytes_max_(bytes_max), patience_(patience), before_(std::move(before)) {}

  // By `whom` ("client pod 3"). True: the values are wanted. Errors: kInvalidArgument: they are no tensors,
  // too many for this aggregator, or not those of the model: the first that differs, and both hashes.
  [[nodiscard]] Result<bool> compare(const std::string& whom, std::span<const std::byte> tensors);

  // An offer with its values on their way. It is dropped with its last holder.
  class Offer {
   public:
    ~Offer();
    Offer(const Offer&) = delete;
    Offer& operator=(const Offer&) = delete;
    // The next bytes. kInvalidArgument: not the next, more than there are, or fewer than 64 KiB that are not
    // the last. kResourceExhausted: it has given way, to a later one of its pod or, being slow, to another's.
    [[nodiscard]] Status append(std::uint64_t offset, std::span<const std::byte> bytes);
    [[nodiscard]] bool whole() const { return received_ == bytes_; }

   private:
    friend class ModelIntake;
    Offer(ModelIntake& intake, std::string whom, std::uint64_t bytes)
        : intake_(intake), whom_(std::move(whom)), bytes_(bytes) {}
    ModelIntake& intake_;
    const std::string whom_;
    const std::uint64_t bytes_;
    const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    std::atomic<std::uint64_t> received_ = 0;
  };
  // Null: the model is there, and the same: the values are not wanted. Errors: compare's;
  // kResourceExhausted: another pod's offer is on its way: ask again in a moment.
  [[nodiscard]] Result<std::unique_ptr<Offer>> begin(const std::string& whom,
                                                     std::span<const std::byte> tensors,
                                                     std::uint64_t value_bytes);
  // Of an offer that is whole. kInvalidArgument: a value is not finite, or absurd. kResourceExhausted:
  // append's.
  [[nodiscard]] Status take(std::unique_ptr<Offer> offer);

  // Once; nothing: it has not come in `timeout`.
  [[nodiscard]] std::optional<OfferedModel> wait(std::chrono::milliseconds timeout);

 private:
  [[nodiscard]] Result<std::vector<program::TensorShape>> read(const std::string& whom,
                                                               std::span<const std::byte> tensors) const;
  [[nodiscard]] Status same(const std::string& whom, const std::vector<program::TensorShape>& tensors) const
      MUSTER_REQUIRES(mutex_);
  // As the rounds from which the federation goes on.
  [[nodiscard]] Status as_before(const std::string& whom,
                                 const std::vector<program::TensorShape>& tensors) const;
  [[nodiscard]] bool gives_way(const Offer& offer, const std::string& to) const MUSTER_REQUIRES(mutex_);

  struct Held {  // of an offer; freed as soon as that gives way
    std::vector<program::TensorShape> tensors;
    std::deque<std::vector<std::byte>> chunks;  // in order: none is copied again as they grow in number
  };

  const std::uint64_t bytes_max_;
  const std::chrono::milliseconds patience_;
  const std::optional<ModelBefore> before_;
  Mutex mutex_;
  Condition come_;
  Offer* offer_ MUSTER_GUARDED_BY(mutex_) = nullptr;  // the one whose values are on their way
  Held held_ MUSTER_GUARDED_BY(mutex_);               // of offer_
  std::string first_ MUSTER_GUARDED_BY(mutex_);       // whose model it is
  std::vector<program::TensorShape> tensors_ MUSTER_GUARDED_BY(mutex_);  // empty: there is none yet
  std::optional<OfferedModel> model_ MUSTER_GUARDED_BY(mutex_);          // until wait takes it
};

}  // namespace muster::agg
