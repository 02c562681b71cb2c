#pragma once  // device/client_states.h: what clients keep between rounds
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "common/platform/mutex.h"

namespace muster::device {

// A vector for each client, e.g. its control variate (SCAFFOLD), that goes on only when the client's update
// is in a committed round. So a client proposes what it will be before it sends its update, under the number
// of the round, and settles with the next task, which says what the client's newest round is that counts: of
// all it has proposed, the one of that round is its vector, and the others never were. Whatever was killed in
// between, it and the aggregator mean the same.
class ClientStates {  // thread-safe; calls for one client come one after another
 public:
  virtual ~ClientStates() = default;

  struct Settled {
    std::vector<float> values;  // [P]; empty: it begins anew
    bool lost = false;          // though it had one: the aggregator goes on with what was made of it
  };
  // `counted`: 0: no update of the client counts yet. `round`: of the task that says so. What was proposed up
  // to that round is forgotten, but for the vector that counts; what was proposed for a later one is not: it
  // is of a newer task, which this one knows nothing of. Errors: as files have them.
  [[nodiscard]] virtual Result<Settled> settle(std::int32_t client, std::int64_t counted,
                                               std::int64_t round) = 0;
  // Kept as safely as anything is when it returns, beside what was settled. `round` >= 1. Errors: likewise.
  [[nodiscard]] virtual Status propose(std::int32_t client, std::int64_t round,
                                       std::vector<float> values) = 0;
  // The federation has ended well: of these clients nothing is needed any more.
  virtual void forget(std::int32_t first_client, std::int32_t clients) = 0;
};

// In memory: as long as the process.
class MemoryStates final : public ClientStates {
 public:
  Result<Settled> settle(std::int32_t client, std::int64_t counted, std::int64_t round) override;
  Status propose(std::int32_t client, std::int64_t round, std::vector<float> values) override;
  void forget(std::int32_t first_client, std::int32_t clients) override;

 private:
  using Values = std::shared_ptr<const std::vector<float>>;  // copied without the lock
  Mutex mutex_;
  // By client, then by round.
  std::unordered_map<std::int32_t, std::unordered_map<std::int64_t, Values>> proposed_
      MUSTER_GUARDED_BY(mutex_);
};

}  // namespace muster::device
