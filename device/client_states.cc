// device/client_states.cc: states in memory
#include "device/client_states.h"

#include <iterator>
#include <utility>

namespace muster::device {

Result<ClientStates::Settled> MemoryStates::settle(std::int32_t client, std::int64_t counted,
                                                   std::int64_t round) {
  Values values;
  std::vector<Values> forgotten;  // freed without the lock, too
  {
    const MutexLock lock(mutex_);
    auto& proposed = proposed_[client];
    if (const auto found = proposed.find(counted); counted > 0 && found != proposed.end())
      values = found->second;
    for (auto it = proposed.begin(); it != proposed.end();) {
      const bool over = it->first <= round && it->first != counted;
      if (over) forgotten.push_back(std::move(it->second));
      it = over ? proposed.erase(it) : std::next(it);
    }
  }
  if (values == nullptr) return Settled{.values = {}, .lost = counted > 0};
  return Settled{.values = *values};
}

Status MemoryStates::propose(std::int32_t client, std::int64_t round, std::vector<float> values) {
  auto kept = std::make_shared<const std::vector<float>>(std::move(values));
  const MutexLock lock(mutex_);
  proposed_[client][round].swap(kept);
  return {};
}

void MemoryStates::forget(std::int32_t first_client, std::int32_t clients) {
  const MutexLock lock(mutex_);
  for (std::int32_t client = first_client; client < first_client + clients; ++client) proposed_.erase(client);
}

}  // namespace muster::device
