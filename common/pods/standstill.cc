// common/pods/standstill.cc: the words by which workers name the rank that stands still
#include "common/pods/standstill.h"

#include <charconv>

namespace muster {
namespace {

constexpr std::string_view kRank = "rank ";
constexpr std::string_view kStandsStill = " stands still: ";
constexpr std::string_view kHung = "it did not come to the ring's call in time";

std::string words_of(std::string_view rank_name, std::string_view why) {
  return std::string(rank_name).append(kStandsStill).append(why);
}

}  // namespace

std::string rank_name(std::int64_t rank, std::string_view address) {
  return std::string(kRank).append(std::to_string(rank)).append(" (").append(address).append(")");
}

std::string silent_words(std::string_view rank_name, std::int64_t silence_ms) {
  return words_of(rank_name, "nothing was heard of it for " + std::to_string(silence_ms) + " ms");
}

std::string hung_words(std::string_view rank_name) { return words_of(rank_name, kHung); }

std::optional<Standstill> standstill_in(std::string_view words) {
  const std::size_t said = words.find(kStandsStill);
  if (said == std::string_view::npos) return std::nullopt;
  const std::size_t name = words.rfind(kRank, said);
  if (name == std::string_view::npos) return std::nullopt;
  const char* const digits = words.data() + name + kRank.size();
  const char* const until = words.data() + said;
  Standstill found;
  const auto [end, error] = std::from_chars(digits, until, found.rank);
  if (error != std::errc() || (end != until && *end != ' ')) return std::nullopt;
  found.hung = words.substr(said + kStandsStill.size()).starts_with(kHung);
  return found;
}

}  // namespace muster
