// aggregator/round/counted.cc: from the aggregate to the committed model
#include "aggregator/round/counted.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace muster::agg {
namespace {

void raise(std::int64_t& number, std::int64_t to) { number = std::max(number, to); }

}  // namespace

void CountedUpdates::taken(ClientId client, std::int64_t number) {
  MUSTER_CHECK(client >= 0 && client < std::ssize(last_) && number > 0);
  raise(gathered_[client], number);
}

void CountedUpdates::sealed() {
  MUSTER_CHECK(sealed_.empty());  // one model is made at a time
  sealed_ = std::exchange(gathered_, {});
}

void CountedUpdates::committed() {
  for (const auto& [client, number] : std::exchange(sealed_, {}))
    raise(last_[static_cast<std::size_t>(client)], number);
}

void CountedUpdates::discarded() { gathered_.clear(); }

std::vector<std::int64_t> CountedUpdates::with_sealed() const {
  std::vector<std::int64_t> last = last_;
  for (const auto& [client, number] : sealed_) raise(last[static_cast<std::size_t>(client)], number);
  return last;
}

}  // namespace muster::agg
