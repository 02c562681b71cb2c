// cli/did_you_mean.cc: the word that a misspelt one may stand for
#include "cli/did_you_mean.h"

#include <algorithm>

namespace muster::cli {
namespace {

constexpr std::size_t kSlipsMax = 2;

// Optimal string alignment distance, row by row. O(a b) time.
std::size_t slips(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> at(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        at[i][j] = i + j;
        continue;
      }
      const std::size_t replaced = at[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      at[i][j] = std::min({at[i - 1][j] + 1, at[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        at[i][j] = std::min(at[i][j], at[i - 2][j - 2] + 1);
    }
  }
  return at[a.size()][b.size()];
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t fewest = kSlipsMax + 1;
  if (word.size() > 64) return best;  // no command is so long
  for (const std::string& candidate : known) {
    const std::size_t found = slips(word, candidate);
    if (found >= fewest || found >= word.size()) continue;
    fewest = found;
    best = candidate;
  }
  return best;
}

}  // namespace muster::cli
