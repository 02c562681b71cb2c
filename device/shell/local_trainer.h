#pragma once  // device/shell/local_trainer.h: the data and models of the clients that one pod plays
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "device/client_states.h"
#include "device/personal_layers.h"
#include "device/shell/fleet.h"
#include "learning/dataset.h"
#include "learning/model.h"

namespace muster::device {

class LocalTrainer {
 public:
  // Loads the dataset and computes which rows are whose; one model instance per slot. Errors: as
  // load_dataset, partition_examples and make_model; kInvalidArgument: the clients are not of the federation.
  [[nodiscard]] static Result<std::unique_ptr<LocalTrainer>> load(const spec::Federation& federation,
                                                                  std::int32_t first_client,
                                                                  std::int32_t clients, int slots);
  [[nodiscard]] std::size_t parameter_count() const;
  // Values that each client keeps between rounds: its control variate, or its personal layers.
  [[nodiscard]] std::size_t state_size() const;
  [[nodiscard]] const std::string& data_identity() const { return data_identity_; }
  // Where clients keep what is theirs between rounds; before the first train().
  void keep_states_in(std::unique_ptr<ClientStates> states) { states_ = std::move(states); }
  void forget_states();  // the federation has ended well
  [[nodiscard]] std::int64_t states_lost() const { return states_lost_; }
  // The order of a client's examples is a function of (seed, round, client) alone; where a client may have
  // two tasks of one round, of (seed, serial, client). What the client is to keep is proposed when this
  // returns.
  [[nodiscard]] Result<learning::LocalUpdate> train(int slot, std::int32_t client, const TaskTicket& task,
                                                    std::span<const float> global,
                                                    const std::function<bool()>& cancelled);

 private:
  struct Holding {            // what a client has in a round
    learning::Examples made;  // where it has not `all`
    const learning::Examples* all = nullptr;
    std::vector<std::int64_t> rows;  // that it trains on
    [[nodiscard]] const learning::Examples& examples() const { return all != nullptr ? *all : made; }
  };
  [[nodiscard]] Holding holding_of(std::size_t index, std::int64_t round) const;
  struct Personal {
    std::vector<float> begin;  // [P] the downloaded model with the client's own layers
    std::optional<learning::HeldOutAccuracies> found;
  };
  [[nodiscard]] Result<Personal> begin_personal(learning::Model& model, std::size_t index,
                                                const TaskTicket& task, std::span<const float> global,
                                                const Holding& holding, std::uint64_t key,
                                                const std::function<bool()>& cancelled);
  [[nodiscard]] Result<learning::HeldOutAccuracies> measure(learning::Model& model, std::size_t index,
                                                            const TaskTicket& task,
                                                            std::span<const float> global,
                                                            std::span<const float> personal,
                                                            const Holding& holding, std::uint64_t key,
                                                            const std::function<bool()>& cancelled) const;
  // What the client keeps; `anew` where it has nothing yet, or has lost it.
  [[nodiscard]] Result<std::vector<float>> own_state(std::int32_t client, const TaskTicket& task,
                                                     std::span<const float> anew, bool anew_at_first);

  spec::Federation federation_;
  std::int32_t first_client_ = 0;
  std::string data_identity_;  // of the dataset that all clients' parts are cut from
  learning::Examples examples_;
  std::vector<std::vector<std::int64_t>> rows_;  // of our clients; with a stream, as they come
  std::vector<std::vector<std::int64_t>>
      held_out_;  // likewise, never trained on; empty without personalization
  PersonalLayers personal_;
  std::vector<std::unique_ptr<learning::Model>> tasks_;
  std::unique_ptr<ClientStates> states_ = std::make_unique<MemoryStates>();
  std::vector<std::int64_t> lost_at_;  // of our clients: the counted round whose state was found to be gone
  std::atomic<std::int64_t> states_lost_ = 0;
};

}  // namespace muster::device
