// device/shell/local_trainer.cc: from the federation's spec to a client's update
#include "device/shell/local_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/base/random.h"
#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "device/partial_work.h"
#include "learning/data_identity.h"
#include "learning/held_out.h"
#include "learning/partition.h"
#include "learning/stream.h"

namespace muster::device {
namespace {

constexpr std::uint64_t kHeldOutStream = 0x68656c64;  // of the seed: which examples are held out,
constexpr std::uint64_t kArrivalStream = 0x636f6d65;  // and in which order a stream's come

}  // namespace

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
    learning::Split split{.rest = std::move(parts[static_cast<std::size_t>(client)]), .held_out = {}};
    if (federation.personalization)
      split = learning::split_rows(std::move(split.rest), learning::kHeldOutShare,
                                   hash_key(seed, kHeldOutStream, client));
    if (federation.stream) Random(hash_key(seed, kArrivalStream, client)).shuffle(std::span(split.rest));
    trainer->rows_.push_back(std::move(split.rest));
    trainer->held_out_.push_back(std::move(split.held_out));
  }
  trainer->lost_at_.resize(trainer->rows_.size());
  trainer->examples_ = std::move(dataset.train);
  for (int slot = 0; slot < slots; ++slot) {
    MUSTER_ASSIGN(auto task, learning::make_model(federation.training.model, trainer->examples_));
    trainer->tasks_.push_back(std::move(task));
  }
  if (federation.personalization)
    trainer->personal_ =
        PersonalLayers(trainer->tasks_[0]->tensors(), federation.personalization->personal_layers);
  return trainer;
}

std::size_t LocalTrainer::parameter_count() const {
  return static_cast<std::size_t>(tasks_[0]->parameter_count());
}

std::size_t LocalTrainer::state_size() const {
  return personal_.empty() ? parameter_count() : personal_.size();
}

LocalTrainer::Holding LocalTrainer::holding_of(std::size_t index, std::int64_t round) const {
  if (!federation_.stream || rows_[index].empty())
    return {.made = {}, .all = &examples_, .rows = rows_[index]};
  constexpr std::int64_t kRoundMax = 1'000'000'000;  // it comes over the wire
  Holding holding{.made = learning::held_in_round(*federation_.stream, examples_, rows_[index],
                                                  std::clamp<std::int64_t>(round, 1, kRoundMax)),
                  .all = nullptr,
                  .rows = {}};
  holding.rows.resize(static_cast<std::size_t>(holding.made.size()));
  std::iota(holding.rows.begin(), holding.rows.end(), 0);
  return holding;
}

Result<learning::LocalUpdate> LocalTrainer::train(int slot, std::int32_t client, const TaskTicket& task,
                                                  std::span<const float> global,
                                                  const std::function<bool()>& cancelled) {
  const auto key = hash_key(static_cast<std::uint64_t>(federation_.training.seed),
                            task.serial > 0 ? task.serial : task.round, client);
  const auto index = static_cast<std::size_t>(client - first_client_);
  const Holding holding = holding_of(index, task.round);
  const bool controlled = task.settings.control_variates;
  const std::size_t parameters = global.size() / (controlled ? 2 : 1);
  learning::LocalStart start{.control = global.subspan(parameters),
                             .measure_loss = federation_.stream.has_value()};
  std::vector<float> own;
  if (controlled) {
    MUSTER_ASSIGN(own, own_state(client, task, start.control, false));
    start.own_control = own;
  }
  if (task.stop_at)
    start.enough = [watch = StopWatch(*task.stop_at)]() mutable {
      return watch.enough(std::chrono::steady_clock::now());
    };
  learning::Model& model = *tasks_[static_cast<std::size_t>(slot)];
  std::span<const float> from = global.first(parameters);
  Personal personal;
  if (federation_.personalization) {
    MUSTER_ASSIGN(personal, begin_personal(model, index, task, from, holding, key, cancelled));
    from = personal.begin;
  }
  MUSTER_ASSIGN(learning::LocalUpdate update,
                learning::train_locally(model, federation_.training, from, holding.examples(), holding.rows,
                                        key, cancelled, task.settings, start));
  update.held_out = personal.found;
  if (controlled) {
    own.resize(parameters);
    for (std::size_t i = 0; i < parameters; ++i) own[i] += update.control_change[i];
    MUSTER_TRY(states_->propose(client, task.round, std::move(own)));
    std::vector<float>().swap(update.control_change);  // the aggregator computes it
  }
  if (!personal_.empty()) {
    for (std::size_t i = 0; i < from.size(); ++i) personal.begin[i] += update.delta[i];
    if (!std::ranges::all_of(personal.begin, [](float value) { return std::isfinite(value); }))
      return data_loss(
          "local training: what the client keeps of its own is not finite; lower the learning rate");
    MUSTER_TRY(states_->propose(client, task.round, personal_.of(personal.begin)));
    personal_.clear(update.delta);
  }
  return update;
}

// Whose c_i is gone begins with c and not with 0: c is the mean of all c_i, so that it stays it if all lose
// theirs, and is off by (c_i - c) / N for one. Whose personal layers are gone begins with those of the model.
Result<std::vector<float>> LocalTrainer::own_state(std::int32_t client, const TaskTicket& task,
                                                   std::span<const float> anew, bool anew_at_first) {
  MUSTER_ASSIGN(ClientStates::Settled settled, states_->settle(client, task.counted_round, task.round));
  std::int64_t& lost_at = lost_at_[static_cast<std::size_t>(client - first_client_)];
  if (settled.lost && std::exchange(lost_at, task.counted_round) != task.counted_round) {
    ++states_lost_;
    spdlog::warn("client {} begins anew with what it keeps between rounds: it is gone", client);
  }
  if (settled.lost || (anew_at_first && settled.values.empty()))
    return std::vector<float>(anew.begin(), anew.end());
  return std::move(settled.values);
}

void LocalTrainer::forget_states() {
  states_->forget(first_client_, static_cast<std::int32_t>(rows_.size()));
}

}  // namespace muster::device
