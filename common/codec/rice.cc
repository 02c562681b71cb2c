// common/codec/rice.cc
#include "common/codec/rice.h"

#include <algorithm>
#include <array>

namespace muster::codec {

namespace {

class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : out_(out) {}

  void zeros(std::uint64_t count) {
    for (; count > 32; count -= 32) bits(0, 32);
    bits(0, static_cast<int>(count));
  }

  void bits(std::uint64_t value, int count) {  // at most 32
    window_ |= value << held_;
    held_ += count;
    if (held_ < 32) return;
    std::memcpy(out_, &window_, 4);
    out_ += 4;
    window_ >>= 32;
    held_ -= 32;
  }

  void flush() {
    for (; held_ > 0; held_ -= 8, window_ >>= 8) *out_++ = static_cast<std::byte>(window_);
  }

 private:
  std::byte* out_;
  std::uint64_t window_ = 0;
  int held_ = 0;
};

template <typename Each>
void for_each_gap(std::span<const std::uint32_t> positions, Each each) {
  std::uint32_t next = 0;
  for (const std::uint32_t position : positions) {
    each(position - next);
    next = position + 1;
  }
}

}  // namespace

RicePlan plan_rice(std::span<const std::uint32_t> positions) {
  if (positions.empty()) return {};
  const std::uint64_t mean_gap = positions.back() / positions.size();
  constexpr int kTried = 4;
  const int first = std::max(0, static_cast<int>(std::bit_width(mean_gap)) - kTried + 1);
  std::array<std::uint64_t, kTried> quotients{};
  for_each_gap(positions, [&](std::uint32_t gap) {
    for (int i = 0; i < kTried; ++i)
      quotients[static_cast<std::size_t>(i)] += gap >> std::min(first + i, kRiceMax);
  });
  RicePlan best{.parameter = 0, .bytes = ~std::size_t{0}};
  for (int i = 0; i < kTried; ++i) {
    const int parameter = std::min(first + i, kRiceMax);
    const std::uint64_t bits =
        quotients[static_cast<std::size_t>(i)] + positions.size() * static_cast<std::uint64_t>(parameter + 1);
    const std::size_t bytes = 1 + (bits + 7) / 8;
    if (bytes < best.bytes) best = {parameter, bytes};
  }
  return best;
}

void write_rice(std::span<const std::uint32_t> positions, RicePlan plan, std::byte* out) {
  *out = static_cast<std::byte>(plan.parameter);
  BitWriter writer(out + 1);
  for_each_gap(positions, [&](std::uint32_t gap) {
    writer.zeros(gap >> plan.parameter);
    const std::uint64_t remainder = gap & ((std::uint64_t{1} << plan.parameter) - 1);
    writer.bits(remainder << 1 | 1, plan.parameter + 1);
  });
  writer.flush();
}

}  // namespace muster::codec
