#pragma once  // common/pods/standstill.h: the words by which workers name the rank that stands still; the
              // operator reads them in their last words
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muster {

// "rank 2 (127.0.0.5:8471)": how workers call one another.
[[nodiscard]] std::string rank_name(std::int64_t rank, std::string_view address);

// The rank that the words name last, which is the cause of what they tell: "rank 1 (a) ended: rank 2 (b)
// closed the connection" names rank 2. nullopt: none.
struct NamedRank {
  std::int64_t rank = 0;
  std::string address;  // of its data port
};
[[nodiscard]] std::optional<NamedRank> named_rank_in(std::string_view words);

struct Standstill {
  std::int64_t rank = 0;
  std::string address{};  // of its data port; empty: the words do not tell it
  bool hung =
      false;  // it was heard of, but did not come to the ring's call: its program hangs, not its machine
};

// "rank 2 (127.0.0.5:8471) stands still: ...".
[[nodiscard]] std::string silent_words(std::string_view rank_name, std::int64_t silence_ms);
[[nodiscard]] std::string hung_words(std::string_view rank_name);
// nullopt: `words` name no such rank.
[[nodiscard]] std::optional<Standstill> standstill_in(std::string_view words);

}  // namespace muster
