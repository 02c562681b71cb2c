#pragma once  // cli/did_you_mean.h: the word that a misspelt one may stand for. Pure
#include <string>
#include <string_view>
#include <vector>

namespace muster::cli {

// The nearest of `known` that is at most two slips away (a letter added, lost, replaced, or two neighbours
// swapped), and fewer than the word has letters; "" if none is.
[[nodiscard]] std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace muster::cli
