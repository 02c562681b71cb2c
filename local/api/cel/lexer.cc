// local/api/cel/lexer.cc: texts as tokens
#include "local/api/cel/lexer.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "local/api/cel/program.h"

namespace muster::local::cel {
namespace {

constexpr std::size_t kTextMax = 64 * 1024;

bool name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool name_part(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Token>> run() {
    std::vector<Token> tokens;
    while (true) {
      skip();
      if (at_ == text_.size()) break;
      MUSTER_ASSIGN(Token token, next());
      tokens.push_back(std::move(token));
    }
    Token end;
    end.at = at_;
    tokens.push_back(end);
    return tokens;
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void skip() {
    while (at_ < text_.size()) {
      if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0)
        ++at_;
      else if (text_.substr(at_, 2) == "//")
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      else
        break;
    }
  }

  Result<Token> next() {
    Token token;
    token.at = at_;
    const char c = peek();
    if (const std::size_t prefix = string_prefix(); prefix < 3) return string(prefix);
    if (digit(c) || (c == '.' && digit(peek(1)))) return number();
    if (name_start(c)) {
      while (name_part(peek())) token.text += text_[at_++];
      token.kind = Token::Kind::kName;
      if (token.text == "true" || token.text == "false" || token.text == "null") {
        token.kind = Token::Kind::kLiteral;
        if (token.text != "null") token.literal = Value::of_bool(token.text == "true");
      }
      return token;
    }
    token.kind = Token::Kind::kSymbol;
    for (const std::string_view symbol : {"==", "!=", "<=", ">=", "&&", "||"})
      if (text_.substr(at_, 2) == symbol) {
        token.text = symbol;
        at_ += 2;
        return token;
      }
    if (std::string_view("+-*/%<>!?:.,()[]{}").find(c) == std::string_view::npos)
      return located(text_, at_, "Syntax error: token recognition error at: '" + std::string(1, c) + "'");
    token.text = std::string(1, c);
    ++at_;
    return token;
  }

  // The letters in front of a string's quote (r, b, rb, br); 3 if no string begins here.
  std::size_t string_prefix() const {
    for (std::size_t i = 0; i < 3; ++i) {
      const char c = peek(i);
      if (c == '"' || c == '\'') return i;
      if (c != 'r' && c != 'R' && c != 'b' && c != 'B') break;
    }
    return 3;
  }

  Result<Token> integer(Token token, const std::string& digits, int base) {
    const bool is_unsigned = peek() == 'u' || peek() == 'U';
    if (is_unsigned) ++at_;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    const bool all = error == std::errc{} && end == digits.data() + digits.size();
    if (!all || (!is_unsigned && value > std::uint64_t{1} << 63))
      return located(text_, token.at, is_unsigned ? "invalid uint literal" : "invalid int literal");
    token.literal = is_unsigned ? Value::of_uint(value) : Value::of_int(static_cast<std::int64_t>(value));
    return token;
  }

  Result<Token> number() {
    Token token;
    token.kind = Token::Kind::kLiteral;
    token.at = at_;
    std::string digits;
    if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
      at_ += 2;
      while (std::isxdigit(static_cast<unsigned char>(peek())) != 0) digits += text_[at_++];
      return integer(std::move(token), digits, 16);
    }
    bool real = false;
    while (digit(peek()) || peek() == '.' || peek() == 'e' || peek() == 'E' ||
           ((peek() == '+' || peek() == '-') && !digits.empty() &&
            (digits.back() == 'e' || digits.back() == 'E'))) {
      if (peek() == '.' && !digit(peek(1))) break;
      real = real || !digit(peek());
      digits += text_[at_++];
    }
    if (!real) return integer(std::move(token), digits, 10);
    if (digits.size() > 64) return located(text_, token.at, "invalid double literal");
    token.literal = Value::of_double(std::strtod(digits.c_str(), nullptr));
    return token;
  }

  Result<Token> string(std::size_t prefix) {
    Token token;
    token.kind = Token::Kind::kLiteral;
    token.at = at_;
    bool raw = false, bytes = false;
    for (; prefix > 0; --prefix, ++at_) (peek() == 'r' || peek() == 'R' ? raw : bytes) = true;
    const char quote = text_[at_];
    const bool triple = text_.substr(at_, 3) == std::string(3, quote);
    const std::string close(triple ? 3 : 1, quote);
    at_ += close.size();
    std::string value;
    while (text_.substr(at_, close.size()) != close) {
      if (at_ >= text_.size() || (!triple && text_[at_] == '\n'))
        return located(text_, token.at, "Syntax error: token recognition error: a string is not closed");
      if (text_[at_] == '\\' && !raw) {
        MUSTER_TRY(escape(value));
      } else {
        value += text_[at_++];
      }
    }
    at_ += close.size();
    token.literal = Value::of_text(std::move(value), bytes ? Kind::kBytes : Kind::kString);
    return token;
  }

  Status escape(std::string& value) {
    const char c = peek(1);
    at_ += 2;
    constexpr std::string_view kFrom = "nrtabfv\\\"'`?";
    constexpr std::string_view kTo = "\n\r\t\a\b\f\v\\\"'`?";
    if (const auto found = kFrom.find(c); found != std::string_view::npos && c != '\0') {
      value += kTo[found];
      return {};
    }
    const int width = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const std::string digits(text_.substr(std::min(at_, text_.size()), static_cast<std::size_t>(width)));
    if (width == 0 || digits.size() != static_cast<std::size_t>(width) ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
      return located(text_, std::min(at_, text_.size()), "Syntax error: an escape in a string is not known");
    at_ += digits.size();
    const auto code = static_cast<std::uint32_t>(std::strtoul(digits.c_str(), nullptr, 16));
    if (code < 0x80) {
      value += static_cast<char>(code);
    } else if (code < 0x800) {
      value += static_cast<char>(0xC0 | code >> 6);
      value += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      if (code >= 0x10000) {
        value += static_cast<char>(0xF0 | (code >> 18 & 7));
        value += static_cast<char>(0x80 | (code >> 12 & 0x3F));
      } else {
        value += static_cast<char>(0xE0 | code >> 12);
      }
      value += static_cast<char>(0x80 | (code >> 6 & 0x3F));
      value += static_cast<char>(0x80 | (code & 0x3F));
    }
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view text) {
  if (text.size() > kTextMax) return invalid_argument("an expression may have 65536 characters at most");
  return Lexer(text).run();
}

}  // namespace muster::local::cel
