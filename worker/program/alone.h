#pragma once  // worker/program/alone.h: what a worker would ask of a program that is alone: a world of one
#include <cstdint>
#include <optional>
#include <vector>

#include "common/program/protocol.h"

namespace muster::program {

// Batches in the order in which a job of one worker with the same seed has them. Pure.
class Alone {
 public:
  struct Ask {
    Kind kind = Kind::kEnd;  // kBatch, kStep, kEnd
    Batch batch{};
    std::span<const std::int64_t> rows{};  // until the next question
    int exit_code = 0;
  };
  Alone(const World& world, std::int64_t examples);
  // What comes next, once the last question was answered.
  [[nodiscard]] Ask next(bool stop);

 private:
  World world_;
  std::int64_t examples_;
  std::int64_t a_epoch_;  // steps of one
  std::vector<std::int64_t> order_;
  std::int64_t ordered_epoch_ = -1;
  Batch batch_;
  std::int64_t taken_ = 0;  // examples of the batch under way
};

}  // namespace muster::program
