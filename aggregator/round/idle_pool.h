#pragma once  // aggregator/round/idle_pool.h: clients that wait, one of whom is drawn
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "aggregator/round/cohort.h"

namespace muster::agg {

// In an order that follows from what was added and removed alone. Each call is O(1).
class IdlePool {
 public:
  void add(ClientId client) {
    if (place_.emplace(client, clients_.size()).second) clients_.push_back(client);
  }
  void remove(ClientId client) {
    const auto it = place_.find(client);
    if (it == place_.end()) return;
    const std::size_t place = it->second;
    clients_[place] = clients_.back();
    place_[clients_.back()] = place;
    clients_.pop_back();
    place_.erase(client);
  }
  [[nodiscard]] const std::vector<ClientId>& clients() const { return clients_; }
  [[nodiscard]] bool empty() const { return clients_.empty(); }

 private:
  std::vector<ClientId> clients_;
  std::unordered_map<ClientId, std::size_t> place_;
};

}  // namespace muster::agg
