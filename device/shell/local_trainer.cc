// device/shell/local_trainer.cc: from the federation's spec to a client's update
#include "device/shell/local_trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "common/base/random.h"
#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "device/partial_work.h"
#include "learning/data_identity.h"
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
  trainer->data_identity_ = learning::data_identity(dataset.digest);
  for (std::int32_t client = first_client; client < first_client + clients; ++client) {
    trainer->rows_.push_back(std::move(parts[static_cast<std::size_t>(client)]));
  }
  trainer->lost_at_.resize(trainer->rows_.size());
  trainer->examples_ = std::move(dataset.train);
  for (int slot = 0; slot < slots; ++slot) {
    MUSTER_ASSIGN(auto task, learning::make_model(federation.training.model, trainer->examples_));
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
  const auto key = hash_key(static_cast<std::uint64_t>(federation_.training.seed),
                            task.serial > 0 ? task.serial : task.round, client);
  const bool controlled = task.settings.control_variates;
  const std::size_t parameters = global.size() / (controlled ? 2 : 1);
  learning::LocalStart start{.control = global.subspan(parameters)};
  std::vector<float> own;
  if (controlled) {
    MUSTER_ASSIGN(own, own_control(client, task, start.control));
    start.own_control = own;
  }
  if (task.stop_at)
    start.enough = [watch = StopWatch(*task.stop_at)]() mutable {
      return watch.enough(std::chrono::steady_clock::now());
    };
  MUSTER_ASSIGN(learning::LocalUpdate update,
                learning::train_locally(*tasks_[static_cast<std::size_t>(slot)], federation_.training,
                                        global.first(parameters), examples_,
                                        rows_[static_cast<std::size_t>(client - first_client_)], key,
                                        cancelled, task.settings, start));
  if (controlled) {
    own.resize(parameters);
    for (std::size_t i = 0; i < parameters; ++i) own[i] += update.control_change[i];
    MUSTER_TRY(states_->propose(client, task.round, std::move(own)));
    std::vector<float>().swap(update.control_change);  // the aggregator computes it
  }
  return update;
}

// Whose c_i is gone begins with c and not with 0: c is the mean of all c_i, so that it stays it if all lose
// theirs, and is off by (c_i - c) / N for one.
Result<std::vector<float>> LocalTrainer::own_control(std::int32_t client, const TaskTicket& task,
                                                     std::span<const float> control) {
  MUSTER_ASSIGN(ClientStates::Settled settled, states_->settle(client, task.counted_round, task.round));
  std::int64_t& lost_at = lost_at_[static_cast<std::size_t>(client - first_client_)];
  if (settled.lost && std::exchange(lost_at, task.counted_round) != task.counted_round) {
    ++states_lost_;
    spdlog::warn("client {} begins anew with what it keeps between rounds: it is gone", client);
  }
  if (settled.lost) return std::vector<float>(control.begin(), control.end());
  return std::move(settled.values);
}

void LocalTrainer::forget_states() {
  states_->forget(first_client_, static_cast<std::int32_t>(rows_.size()));
}

}  // namespace muster::device
