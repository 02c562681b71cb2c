#pragma once  // common/codec/rice.h: the gaps between rising positions, in about as few bits as they can have
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace muster::codec {

// Rice's code of parameter k writes a gap g as floor(g / 2^k) zeros, a one, and the k low bits of g; all from
// the low bits of the bytes up, the last byte filled up with zeros. For gaps of random positions it is within
// 3% of the entropy. R. F. Rice, "Some practical universal noiseless coding techniques", JPL 79-22, 1979. A
// section: [k: 1 byte] [bits]. The first gap is the first position, the others leave out the step of one.

inline constexpr int kRiceMax = 31;

struct RicePlan {
  int parameter = 0;
  std::size_t bytes = 1;  // of the section
};

// The best parameter near the mean gap. positions: rising.
[[nodiscard]] RicePlan plan_rice(std::span<const std::uint32_t> positions);
// out: [plan.bytes].
void write_rice(std::span<const std::uint32_t> positions, RicePlan plan, std::byte* out);

class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  // The zeros before the next one, which is taken, too. -1: there is none.
  [[nodiscard]] std::int64_t zeros() {
    std::int64_t zeros = 0;
    while (window_ == 0) {
      zeros += held_;
      held_ = 0;
      if (rest_.empty()) return -1;
      refill();
    }
    const int run = std::countr_zero(window_);
    window_ = window_ >> run >> 1;
    held_ -= run + 1;
    return zeros + run;
  }

  // The next count (at most 32) bits. -1: there are fewer.
  [[nodiscard]] std::int64_t bits(int count) {
    if (held_ < count) refill();
    if (held_ < count) return -1;
    const std::uint64_t value = window_ & ((std::uint64_t{1} << count) - 1);
    window_ >>= count;
    held_ -= count;
    return static_cast<std::int64_t>(value);
  }

  // Nothing is left but zeros that fill up the last byte.
  [[nodiscard]] bool at_end() const { return rest_.empty() && held_ < 8 && window_ == 0; }

 private:
  // To 56 bits at least, if there are so many: eight bytes at once, of which those that have no room are read
  // again.
  void refill() {
    if (rest_.size() >= sizeof(window_)) {
      std::uint64_t next = 0;
      std::memcpy(&next, rest_.data(), sizeof(next));
      const int taken = (63 - held_) / 8;
      window_ |= next << held_;
      held_ += taken * 8;
      window_ &= ~std::uint64_t{0} >> (64 - held_);
      rest_ = rest_.subspan(static_cast<std::size_t>(taken));
    }
    for (; held_ <= 56 && !rest_.empty(); rest_ = rest_.subspan(1), held_ += 8)
      window_ |= std::to_integer<std::uint64_t>(rest_.front()) << held_;
  }

  std::span<const std::byte> rest_;
  std::uint64_t window_ = 0;
  int held_ = 0;  // bits of window_; those above are 0
};

// Calls each(position) for `count` positions, rising and below `limit`, which must be all that the section
// holds. False if they are not: then some calls may have been made. Takes any bytes.
template <typename Each>
[[nodiscard]] bool read_rice(std::span<const std::byte> section, std::size_t count, std::size_t limit,
                             Each each) {
  if (section.empty()) return false;
  const int parameter = std::to_integer<int>(section.front());
  if (parameter > kRiceMax) return false;
  BitReader reader(section.subspan(1));
  std::uint64_t next = 0;  // the least that the next position can be
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t quotient = reader.zeros();
    if (quotient < 0 || static_cast<std::uint64_t>(quotient) > limit >> parameter) return false;
    const std::int64_t remainder = reader.bits(parameter);
    if (remainder < 0) return false;
    const auto gap =
        (static_cast<std::uint64_t>(quotient) << parameter) | static_cast<std::uint64_t>(remainder);
    const std::uint64_t position = next + gap;
    if (position >= limit) return false;
    each(static_cast<std::size_t>(position));
    next = position + 1;
  }
  return reader.at_end();
}

}  // namespace muster::codec
