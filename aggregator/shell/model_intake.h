#pragma once  // aggregator/shell/model_intake.h: the model of a federation whose clients are programs, from
              // the first that comes
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/platform/mutex.h"
#include "common/program/protocol.h"

namespace muster::agg {

struct OfferedModel {
  std::vector<program::TensorShape> tensors;
  std::vector<float> values;  // [P] the initial parameters
};

// Thread-safe. The first whole offer is the model; whoever comes later has the same tensors or is refused. Of
// what comes meanwhile one offer's values are held at a time, in memory that has really come.
class ModelIntake {
 public:
  explicit ModelIntake(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // By `whom` ("client pod 3"). True: the values are wanted. Errors: kInvalidArgument: they are no tensors,
  // too many for this aggregator, or not those of the model: the first that differs, and both hashes.
  [[nodiscard]] Result<bool> compare(const std::string& whom, std::span<const std::byte> tensors);

  // An offer with its values on their way. It is dropped with its last holder.
  class Offer {
   public:
    ~Offer();
    Offer(const Offer&) = delete;
    Offer& operator=(const Offer&) = delete;
    // The next bytes. kInvalidArgument: not the next, or more than there are.
    [[nodiscard]] Status append(std::uint64_t offset, std::span<const std::byte> bytes);
    [[nodiscard]] bool whole() const { return received_ == bytes_; }

   private:
    friend class ModelIntake;
    Offer(ModelIntake& intake, std::string whom, std::vector<program::TensorShape> tensors,
          std::uint64_t bytes)
        : intake_(intake), whom_(std::move(whom)), tensors_(std::move(tensors)), bytes_(bytes) {}
    ModelIntake& intake_;
    std::string whom_;
    std::vector<program::TensorShape> tensors_;
    std::uint64_t bytes_;
    std::uint64_t received_ = 0;
    std::vector<float> values_;
  };
  // Errors: compare's; kResourceExhausted: another offer is on its way: ask again in a moment.
  [[nodiscard]] Result<std::unique_ptr<Offer>> begin(const std::string& whom,
                                                     std::span<const std::byte> tensors,
                                                     std::uint64_t value_bytes);
  // Of an offer that is whole. kInvalidArgument: a value is not finite.
  [[nodiscard]] Status take(std::unique_ptr<Offer> offer);

  // Once; nothing: it has not come in `timeout`.
  [[nodiscard]] std::optional<OfferedModel> wait(std::chrono::milliseconds timeout);

 private:
  [[nodiscard]] Result<std::vector<program::TensorShape>> read(const std::string& whom,
                                                               std::span<const std::byte> tensors) const;
  [[nodiscard]] Status same(const std::string& whom, const std::vector<program::TensorShape>& tensors) const
      MUSTER_REQUIRES(mutex_);

  const std::uint64_t bytes_max_;
  Mutex mutex_;
  Condition come_;
  bool offering_ MUSTER_GUARDED_BY(mutex_) = false;
  std::string first_ MUSTER_GUARDED_BY(mutex_);                          // whose model it is
  std::vector<program::TensorShape> tensors_ MUSTER_GUARDED_BY(mutex_);  // empty: there is none yet
  std::optional<OfferedModel> model_ MUSTER_GUARDED_BY(mutex_);          // until wait takes it
};

}  // namespace muster::agg
