// learning/ledger.cc: places of an epoch's order, and digests
#include "learning/ledger.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "common/base/random.h"

namespace muster::learning {
namespace {

// Of counts that come from elsewhere: they and their sums stay exact.
constexpr std::int64_t kCountMax = std::int64_t{1} << 53;

bool are_counts(std::initializer_list<std::int64_t> values) {
  return std::ranges::all_of(values, [](std::int64_t value) { return value >= 0 && value <= kCountMax; });
}

// Fixed, so that digests of different releases are the same.
std::uint64_t hash_of(std::int64_t row) { return hash_key(0x6c65646765720000ULL, row); }

}  // namespace

std::uint64_t digest_of_rows(std::span<const std::int64_t> rows) {
  std::uint64_t sum = 0;
  for (const std::int64_t row : rows) sum += hash_of(row);
  return sum;
}

std::uint64_t digest_of_all(std::int64_t examples) {
  std::uint64_t sum = 0;
  for (std::int64_t row = 0; row < examples; ++row) sum += hash_of(row);
  return sum;
}

void Ledger::count(Slice places, std::uint64_t digest) {
  open_.counted += places.size();
  open_.digest += digest;
  open_.twice += std::max<std::int64_t>(std::min(open_.reached, places.end) - places.begin, 0);
  open_.missed += std::max<std::int64_t>(places.begin - open_.reached, 0);
  open_.reached = std::max(open_.reached, places.end);
}

void Ledger::correct(std::span<const std::int64_t> more, std::span<const std::int64_t> fewer) {
  open_.counted += std::ssize(more) - std::ssize(fewer);
  open_.digest += digest_of_rows(more) - digest_of_rows(fewer);
  open_.twice += std::ssize(more);
  open_.missed += std::ssize(fewer);
}

void Ledger::close(std::int64_t number, std::int64_t examples) {
  EpochBalance balance{.epoch = number,
                       .expected = examples,
                       .counted = open_.counted,
                       .twice = open_.twice,
                       .missed = open_.missed + std::max<std::int64_t>(examples - open_.reached, 0),
                       .digest = open_.digest};
  open_ = {};
  if (balance.digest == digest_of_all(examples)) {
    if (balance.counted == examples) balance.twice = balance.missed = 0;
  } else if (balance.balances()) {  // the order itself has some twice
    balance.twice = balance.missed = 1;
  }
  if (kept_ == static_cast<std::int64_t>(kEpochs)) {
    std::shift_left(balances_.begin(), balances_.end(), 1);
    --kept_;
  }
  balances_[static_cast<std::size_t>(kept_++)] = balance;
}

std::span<const EpochBalance> Ledger::balances() const {
  return std::span(balances_).first(static_cast<std::size_t>(kept_));
}

std::optional<Ledger> Ledger::of(const Open& open, std::span<const EpochBalance> balances) {
  if (balances.size() > kEpochs) return std::nullopt;
  Ledger ledger;
  ledger.open_ = open;
  ledger.kept_ = std::ssize(balances);
  std::ranges::copy(balances, ledger.balances_.begin());
  return ledger.is_sound() ? std::optional(ledger) : std::nullopt;
}

bool Ledger::is_sound() const {
  if (kept_ < 0 || kept_ > static_cast<std::int64_t>(kEpochs)) return false;
  if (!are_counts({open_.reached, open_.counted, open_.twice, open_.missed})) return false;
  std::int64_t before = 0;
  return std::ranges::all_of(balances(), [&](const EpochBalance& balance) {
    return balance.epoch > std::exchange(before, balance.epoch) &&
           are_counts({balance.epoch, balance.expected, balance.counted, balance.twice, balance.missed});
  });
}

bool Ledger::fits(std::int64_t epoch) const { return balances().empty() || balances().back().epoch <= epoch; }

}  // namespace muster::learning
