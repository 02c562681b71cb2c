#pragma once  // local/api/cel/lexer.h: CEL's tokens
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "local/api/cel/value.h"

namespace muster::local::cel {

struct Token {
  enum class Kind { kName, kLiteral, kSymbol, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // name or symbol
  Value literal;
  std::size_t at = 0;
};

[[nodiscard]] Result<std::vector<Token>> tokenize(std::string_view text);

}  // namespace muster::local::cel
