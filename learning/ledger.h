#pragma once  // learning/ledger.h: how often each example of an epoch counted, as the completed steps tell
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "common/base/slice.h"

namespace muster::learning {

// Sum of a hash of each row: of equal examples, in whatever order and parts, equal; of others, almost surely
// not (one in 2^64). Digests of parts add up.
[[nodiscard]] std::uint64_t digest_of_rows(std::span<const std::int64_t> rows);
[[nodiscard]] std::uint64_t digest_of_all(std::int64_t examples);  // rows 0 .. examples - 1

struct EpochBalance {         // of one epoch that is over
  std::int64_t epoch = 0;     // from 1
  std::int64_t expected = 0;  // examples of the data
  std::int64_t counted = 0;   // in the steps of the epoch
  std::int64_t twice = 0;     // counted beyond once
  std::int64_t missed = 0;    // not counted
  std::uint64_t digest = 0;   // of those that counted
  [[nodiscard]] bool balances() const { return counted == expected && twice == 0 && missed == 0; }
  friend bool operator==(const EpochBalance&, const EpochBalance&) = default;
};

// What goes into the balances. Pure. Its size does not depend on data or epochs, and it is plain memory: it
// goes with the parameters from membership to membership, to those who join, and into checkpoints.
class Ledger {
 public:
  static constexpr std::size_t kEpochs = 8;  // balances that are kept

  // A completed step trained on the places [from.begin, from.end) of the epoch's order, and nothing else;
  // `digest`: of the rows that lie there. Places that steps before have been at count twice, those that are
  // passed over are missed.
  void count(Slice places, std::uint64_t digest);
  // A step that is counted as above trained on other rows besides (`more`), or not on some that it was to
  // train on (`fewer`).
  void correct(std::span<const std::int64_t> more, std::span<const std::int64_t> fewer);
  // The epoch `number` (from 1) of so many examples is over. Where count and digest are those of all
  // examples, what some steps had too many of, others had too few of, and it balances. Where only the digest
  // is another, at least one is missed.
  void close(std::int64_t number, std::int64_t examples);

  [[nodiscard]] std::span<const EpochBalance> balances() const;  // the newest is last
  // Of the epoch under way; for files.
  struct Open {
    std::int64_t reached = 0;  // places below it are counted or missed
    std::int64_t counted = 0;
    std::int64_t twice = 0;
    std::int64_t missed = 0;
    std::uint64_t digest = 0;
    friend bool operator==(const Open&, const Open&) = default;
  };
  [[nodiscard]] const Open& open() const { return open_; }
  // nullopt: no such ledger can be; whatever the numbers are.
  [[nodiscard]] static std::optional<Ledger> of(const Open& open, std::span<const EpochBalance> balances);
  [[nodiscard]] bool is_sound() const;  // of one whose memory came from elsewhere, before it is used
  [[nodiscard]] bool fits(std::int64_t epoch) const;  // of a sound one: it tells of no epoch behind this one

  friend bool operator==(const Ledger&, const Ledger&) = default;

 private:
  Open open_;
  std::int64_t kept_ = 0;
  std::array<EpochBalance, kEpochs> balances_{};
};
static_assert(std::is_trivially_copyable_v<Ledger>);

}  // namespace muster::learning
