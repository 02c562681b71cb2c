// aggregator/shell/download_slots.cc: a semaphore whose waiters are callbacks
#include "aggregator/shell/download_slots.h"

#include <algorithm>
#include <utility>

namespace muster::agg {
namespace {

constexpr std::size_t kSlotsOfPodMin = 4;  // with very many pods no slot stays empty for those that may come

}  // namespace

bool DownloadSlots::take(std::int64_t pod, const void* call, Waiter waiter) {
  const MutexLock lock(mutex_);
  Pod& own = pods_[pod];
  if (free_ == 0 || !own.waiting.empty() || own.held >= most_of_a_pod()) {
    own.waiting.push_back({call, std::move(waiter)});
    return false;
  }
  --free_;
  ++own.held;
  return true;
}

void DownloadSlots::give(std::int64_t pod) {
  while (true) {
    std::optional<Turn> turn;
    {
      const MutexLock lock(mutex_);
      put_back(pod);
      turn = next_turn();
    }
    // Fewer pods may mean a larger share of each, so that more than the one slot is given.
    while (turn && turn->waiter()) {
      const MutexLock lock(mutex_);
      turn = next_turn();
    }
    if (!turn) return;
    pod = turn->pod;  // it wanted none any more
  }
}

void DownloadSlots::forget(std::int64_t pod, const void* call) {
  const MutexLock lock(mutex_);
  const auto it = pods_.find(pod);
  if (it == pods_.end()) return;
  std::erase_if(it->second.waiting, [&](const Waiting& waiting) { return waiting.call == call; });
  if (it->second.held == 0 && it->second.waiting.empty()) pods_.erase(it);
}

std::size_t DownloadSlots::most_of_a_pod() const {
  return std::max(kSlotsOfPodMin, count_ / (pods_.size() + 1));
}

void DownloadSlots::put_back(std::int64_t pod) {
  const auto it = pods_.find(pod);
  ++free_;
  if (--it->second.held == 0 && it->second.waiting.empty()) pods_.erase(it);
}

std::optional<DownloadSlots::Turn> DownloadSlots::next_turn() {
  if (free_ == 0 || pods_.empty()) return std::nullopt;
  const std::size_t most = most_of_a_pod();
  const auto may = [&](const auto& pod) { return !pod.second.waiting.empty() && pod.second.held < most; };
  const auto after = pods_.upper_bound(last_);
  auto it = std::find_if(after, pods_.end(), may);
  if (it == pods_.end()) it = std::find_if(pods_.begin(), after, may);
  if (it == after && (it == pods_.end() || !may(*it))) return std::nullopt;
  Pod& pod = it->second;
  Turn turn{it->first, std::move(pod.waiting.front().waiter)};
  pod.waiting.pop_front();
  --free_;
  ++pod.held;
  last_ = it->first;
  return turn;
}

}  // namespace muster::agg
