#pragma once  // device/shell/local_trainer.h: the data and models of the clients that one pod plays
#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "device/shell/fleet.h"
#include "learning/dataset.h"
#include "learning/task.h"

namespace muster::device {

class LocalTrainer {
 public:
  // Loads the dataset and computes which rows are whose; one model instance per slot. Errors: as
  // load_dataset, partition_examples and make_task; kInvalidArgument: the clients are not of the federation.
  [[nodiscard]] static Result<std::unique_ptr<LocalTrainer>> load(const spec::Federation& federation,
                                                                  std::int32_t first_client,
                                                                  std::int32_t clients, int slots);
  [[nodiscard]] std::size_t parameter_count() const;
  // The order of a client's examples is a function of (seed, round, client) alone.
  [[nodiscard]] Result<learning::LocalUpdate> train(int slot, std::int32_t client, const TaskTicket& task,
                                                    std::span<const float> global,
                                                    const std::function<bool()>& cancelled);

 private:
  spec::Federation federation_;
  std::int32_t first_client_ = 0;
  learning::Examples examples_;
  std::vector<std::vector<std::int64_t>> rows_;  // of our clients
  std::vector<std::unique_ptr<learning::Task>> tasks_;
};

}  // namespace muster::device
