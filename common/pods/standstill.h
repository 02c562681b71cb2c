#pragma once  // common/pods/standstill.h: the words by which workers name the rank that stands still; the
              // operator reads them in their last words
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muster {

// "rank 2 (127.0.0.5:8471)": how workers call one another.
[[nodiscard]] std::string rank_name(std::int64_t rank, std::string_view address);

struct Standstill {
  std::int64_t rank = 0;
  bool hung =
      false;  // it was heard of, but did not come to the ring's call: its program hangs, not its machine
};

// "rank 2 (127.0.0.5:8471) stands still: ...".
[[nodiscard]] std::string silent_words(std::string_view rank_name, std::int64_t silence_ms);
[[nodiscard]] std::string hung_words(std::string_view rank_name);
// nullopt: `words` name no such rank.
[[nodiscard]] std::optional<Standstill> standstill_in(std::string_view words);

}  // namespace muster
