#pragma once  // worker/transport/line_limit.h: how often a kind of line may go into a log; decides, does no
              // I/O. Pure
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "common/base/clock.h"

namespace muster::worker {

// One line of a kind in 5 s: who can cause lines must not be able to fill the log.
class LineLimit {
 public:
  static constexpr std::chrono::milliseconds kInterval{5'000};

  // How many of this kind were left out since the last that was written; nothing: leave this one out too.
  [[nodiscard]] std::optional<std::uint64_t> pass(std::uint32_t kind, Instant now) {
    const auto [entry, first] = kinds_.try_emplace(kind, Kind{now, 0});
    if (!first && now < entry->second.next) {
      ++entry->second.left_out;
      return std::nullopt;
    }
    const std::uint64_t left_out = entry->second.left_out;
    entry->second = {now + kInterval, 0};
    return left_out;
  }

 private:
  struct Kind {
    Instant next;
    std::uint64_t left_out;
  };
  std::map<std::uint32_t, Kind> kinds_;
};

}  // namespace muster::worker
