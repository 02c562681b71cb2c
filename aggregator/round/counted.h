#pragma once  // aggregator/round/counted.h: which update of each client is in a committed model
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "aggregator/round/cohort.h"
#include "common/base/result.h"

namespace muster::agg {

// An update that was accepted is in the aggregate; it counts once the model that is made of the aggregate is
// committed. What a client keeps between rounds goes on by this verdict alone, which is a part of the
// checkpoint: so a client and an aggregator that were both killed agree on what each of them did last.
//
// A task has the number of its round, and no client has two of one number that both count. Memory:
// O(clients).
class CountedUpdates {
 public:
  // `last`: of each client the number of its last task that counted; 0: none. From a checkpoint, or all 0.
  explicit CountedUpdates(std::vector<std::int64_t> last) : last_(std::move(last)) {}

  // The aggregate that is being gathered has taken the update of this task.
  void taken(ClientId client, std::int64_t number);
  // The aggregate is closed: a model is made of it, and what is taken from here on is for the next one.
  void sealed();
  void committed();  // that model is in place; of strategies whose clients keep something, it is saved, too
  void discarded();  // the aggregate that is being gathered came to nothing

  [[nodiscard]] std::int64_t last(ClientId client) const { return last_[static_cast<std::size_t>(client)]; }
  // It has an update of which it is not known yet whether it will count.
  [[nodiscard]] bool undecided(ClientId client) const {
    return gathered_.contains(client) || sealed_.contains(client);
  }
  // What will be known of each client once the sealed aggregate is committed: for its checkpoint.
  [[nodiscard]] std::vector<std::int64_t> with_sealed() const;

 private:
  using Taken = std::unordered_map<ClientId, std::int64_t>;
  std::vector<std::int64_t> last_;  // [clients]
  Taken gathered_;
  Taken sealed_;
};

}  // namespace muster::agg
