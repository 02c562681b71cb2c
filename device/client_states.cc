// device/client_states.cc: states in memory
#include "device/client_states.h"

#include <utility>

namespace muster::device {

Result<ClientStates::Settled> MemoryStates::settle(std::int32_t client, std::int64_t counted) {
  const std::scoped_lock lock(mutex_);
  auto& proposed = proposed_[client];
  Settled settled;
  if (const auto found = proposed.find(counted); found != proposed.end()) {
    settled.values = found->second;
    std::erase_if(proposed, [&](const auto& entry) { return entry.first != counted; });
  } else {
    proposed.clear();
    settled.lost = counted > 0;
  }
  return settled;
}

Status MemoryStates::propose(std::int32_t client, std::int64_t round, std::vector<float> values) {
  const std::scoped_lock lock(mutex_);
  proposed_[client][round] = std::move(values);
  return {};
}

void MemoryStates::forget(std::int32_t first_client, std::int32_t clients) {
  const std::scoped_lock lock(mutex_);
  for (std::int32_t client = first_client; client < first_client + clients; ++client) proposed_.erase(client);
}

}  // namespace muster::device
