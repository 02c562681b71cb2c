// device/shell/personal_training.cc: LocalTrainer with personal layers, and what models are worth on examples
// that the client never trains on
#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "device/shell/local_trainer.h"
#include "learning/stream.h"

namespace muster::device {
namespace {

constexpr std::uint64_t kFineTuneStream = 0x74756e65;  // of the client's key: how fine-tuning shuffles

}  // namespace

// Accuracies are of before this round's training: of what the client downloaded, and of what it has by then.
Result<learning::HeldOutAccuracies> LocalTrainer::measure(learning::Model& model, std::size_t index,
                                                          const TaskTicket& task,
                                                          std::span<const float> global,
                                                          std::span<const float> personal,
                                                          const Holding& holding, std::uint64_t key,
                                                          const std::function<bool()>& cancelled) const {
  learning::Examples held_out = learning::rows_of(examples_, held_out_[index]);
  if (federation_.stream) learning::shift_labels(*federation_.stream, task.round, held_out);
  learning::HeldOutAccuracies found{.examples = static_cast<std::uint64_t>(held_out.size()),
                                    .global = model.evaluate(global, held_out).accuracy};
  if (!personal_.empty()) found.personal = model.evaluate(personal, held_out).accuracy;
  const auto& tune = federation_.personalization->fine_tune;
  if (!tune) return found;
  spec::ClientTraining training = federation_.training;
  training.local_epochs = tune->epochs;
  training.optimizer = {.name = "SGD", .learning_rate = tune->learning_rate};
  learning::LocalStart start;
  if (task.stop_at) {  // half of the time that is left is the training's
    const Instant now = std::chrono::steady_clock::now();
    start.enough = [until = now + (*task.stop_at - now) / 2] {
      return std::chrono::steady_clock::now() >= until;
    };
  }
  auto tuned = learning::train_locally(model, training, global, holding.examples(), holding.rows,
                                       hash_key(key, kFineTuneStream), cancelled, {}, start);
  if (!tuned && tuned.error().code == Code::kAborted) return tuned.error();
  if (!tuned || tuned->partial) return found;  // not measured: it is no reason to keep the update back
  for (std::size_t i = 0; i < global.size(); ++i) tuned->delta[i] += global[i];
  found.tuned = model.evaluate(tuned->delta, held_out).accuracy;
  return found;
}

Result<LocalTrainer::Personal> LocalTrainer::begin_personal(learning::Model& model, std::size_t index,
                                                            const TaskTicket& task,
                                                            std::span<const float> global,
                                                            const Holding& holding, std::uint64_t key,
                                                            const std::function<bool()>& cancelled) {
  Personal personal{.begin = {global.begin(), global.end()}, .found = {}};
  if (!personal_.empty()) {
    const std::int32_t client = first_client_ + static_cast<std::int32_t>(index);
    MUSTER_ASSIGN(const std::vector<float> own, own_state(client, task, personal_.of(global), true));
    personal_.put(own, personal.begin);
  }
  if (!held_out_[index].empty()) {  // as of a client of one example
    MUSTER_ASSIGN(personal.found,
                  measure(model, index, task, global, personal.begin, holding, key, cancelled));
  }
  return personal;
}

}  // namespace muster::device
