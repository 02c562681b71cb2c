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

// "rank 2 (127.0.0.5:8471)" at the beginning of `words`.
std::optional<NamedRank> read_name(std::string_view words) {
  if (!words.starts_with(kRank)) return std::nullopt;
  words.remove_prefix(kRank.size());
  NamedRank named;
  const auto [end, error] = std::from_chars(words.data(), words.data() + words.size(), named.rank);
  if (error != std::errc()) return std::nullopt;
  words.remove_prefix(static_cast<std::size_t>(end - words.data()));
  const std::size_t close = words.find(')');
  if (words.starts_with(" (") && close != std::string_view::npos)
    named.address = std::string(words.substr(2, close - 2));
  return named;
}

}  // namespace

std::string rank_name(std::int64_t rank, std::string_view address) {
  return std::string(kRank).append(std::to_string(rank)).append(" (").append(address).append(")");
}

std::string silent_words(std::string_view rank_name, std::int64_t silence_ms) {
  return words_of(rank_name, "nothing was heard of it for " + std::to_string(silence_ms) + " ms");
}

std::string hung_words(std::string_view rank_name) { return words_of(rank_name, kHung); }

std::optional<NamedRank> named_rank_in(std::string_view words) {
  for (std::size_t at = words.rfind(kRank); at != std::string_view::npos;
       at = at == 0 ? std::string_view::npos : words.rfind(kRank, at - 1)) {
    if (auto named = read_name(words.substr(at)); named && !named->address.empty()) return named;
  }
  return std::nullopt;
}

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
  if (auto named = read_name(words.substr(name, said - name))) found.address = std::move(named->address);
  found.hung = words.substr(said + kStandsStill.size()).starts_with(kHung);
  return found;
}

}  // namespace muster
