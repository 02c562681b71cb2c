#pragma once  // aggregator/shell/turn_limit.h: how many transfers move at once: as many as make it faster
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "common/base/clock.h"

namespace muster::agg {

// Where the server is what limits transfers (its processors, its network, its disk), those that begin
// together would all end together, at the end; one behind the other the first are trained, and the first
// updates are on the disk, while the others move, and few hold memory. Where clients are what limits them,
// each more that moves is a gain. Which of the two it is, shows: with twice as many at once, is it faster?
// Pure.
class TurnLimit {
 public:
  struct Options {
    std::uint64_t first = std::uint64_t{4} << 20;  // bytes of transfers that begin at once in any case
    std::chrono::milliseconds interval{100};       // that a rate is taken over
  };
  static constexpr std::uint64_t kCounted = std::uint64_t{1} << 20;  // of one transfer, at most

  explicit TurnLimit(Options options) : options_(options), limit_(options.first) {}

  [[nodiscard]] static std::uint64_t weight_of(std::uint64_t bytes) {
    return std::clamp<std::uint64_t>(bytes, 1, kCounted);
  }
  [[nodiscard]] bool admits(std::uint64_t weight) const { return moving_ == 0 || moving_ + weight <= limit_; }
  void began(std::uint64_t weight) { moving_ += weight; }
  void ended(std::uint64_t weight) { moving_ -= weight; }
  void moved(std::uint64_t bytes) { moved_ += bytes; }

  // While some wait, each interval. More at once helped: more still. It went slower: they are others, from
  // whom it is to be learned anew; nothing moved: they stand still, and are not waited for.
  void look(Instant now) {
    if (!std::exchange(measures_, true)) return measure_from(now);
    if (now - since_ < options_.interval) return;
    const double rate = static_cast<double>(moved_) / std::chrono::duration<double>(now - since_).count();
    measure_from(now);
    if (rate > 0 && rate >= kSlower * usual_ && rate <= kFaster * usual_) return;
    usual_ = rate;
    limit_ += limit_ < kMost ? limit_ : 0;
  }
  void rest() {  // nobody waits
    limit_ = options_.first;
    usual_ = 0;
    measures_ = false;
  }

  [[nodiscard]] const Options& options() const { return options_; }

 private:
  static constexpr double kFaster = 1.25;
  static constexpr double kSlower = 0.5;
  static constexpr std::uint64_t kMost = std::uint64_t{1} << 50;

  void measure_from(Instant now) {
    since_ = now;
    moved_ = 0;
  }

  Options options_;
  std::uint64_t limit_;
  std::uint64_t moving_ = 0;
  std::uint64_t moved_ = 0;  // in this interval
  double usual_ = 0;         // bytes a second when the limit was raised last
  bool measures_ = false;
  Instant since_{};
};

}  // namespace muster::agg
