// device/shell/local_trainer.cc: from the federation's spec to a client's update
#include "device/shell/local_trainer.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/random.h"
#include "common/platform/permitted_path.h"
#include "learning/partition.h"

namespace muster::device {

Result<std::unique_ptr<LocalTrainer>> LocalTrainer::load(const spec::Federation& federation,
                                                         std::int32_t first_client, std::int32_t clients,
                                                         int slots) {
  if (first_client < 0 || clients < 1 || std::int64_t{first_client} + clients > federation.clients) {
    return invalid_argument(
        fmt::format("this pod was given clients {} to {}, the federation has {}; "
                    "bring muster-operator and the pods to one version",
                    first_client, std::int64_t{first_client} + clients - 1, federation.clients));
  }
  const auto seed = static_cast<std::uint64_t>(federation.training.seed);
  spec::Dataset from = federation.training.dataset;
  if (!from.path.empty()) {
    MUSTER_ASSIGN(from.path, permitted_dataset(from.path, "spec.training.dataset.path"));
  }
  MUSTER_ASSIGN(learning::Dataset dataset, learning::load_dataset(from, seed));
  MUSTER_ASSIGN(auto parts,
                learning::partition_examples(dataset, federation.partition, federation.clients, seed));
  auto trainer = std::make_unique<LocalTrainer>();
  trainer->federation_ = federation;
  trainer->first_client_ = first_client;
  for (std::int32_t client = first_client; client < first_client + clients; ++client) {
    trainer->rows_.push_back(std::move(parts[static_cast<std::size_t>(client)]));
  }
  trainer->examples_ = std::move(dataset.train);
  for (int slot = 0; slot < slots; ++slot) {
    MUSTER_ASSIGN(auto task, learning::make_task(federation.training.model, trainer->examples_));
    trainer->tasks_.push_back(std::move(task));
  }
  return trainer;
}

std::size_t LocalTrainer::parameter_count() const {
  return static_cast<std::size_t>(tasks_[0]->parameter_count());
}

Result<learning::LocalUpdate> LocalTrainer::train(int slot, std::int32_t client, const TaskTicket& task,
                                                  std::span<const float> global,
                                                  const std::function<bool()>& cancelled) {
  const auto key = hash_key(static_cast<std::uint64_t>(federation_.training.seed), task.round, client);
  return learning::train_locally(*tasks_[static_cast<std::size_t>(slot)], federation_.training, global,
                                 examples_, rows_[static_cast<std::size_t>(client - first_client_)], key,
                                 cancelled, task.settings);
}

}  // namespace muster::device
