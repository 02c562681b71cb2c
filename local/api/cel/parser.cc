// local/api/cel/parser.cc: recursive descent over CEL's grammar, macros expanded
#include <algorithm>
#include <array>

#include "local/api/cel/lexer.h"
#include "local/api/cel/program.h"

namespace muster::local::cel {
namespace {

constexpr int kDepthMax = 100;

using NodePtr = std::unique_ptr<Node>;

NodePtr make(Node::Kind kind, std::string text = "") {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->text = std::move(text);
  return node;
}

template <typename... Parts>
NodePtr call(std::string function, Parts... parts) {
  NodePtr node = make(Node::Kind::kCall, std::move(function));
  (node->parts.push_back(std::move(parts)), ...);
  return node;
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<NodePtr> run() {
    MUSTER_ASSIGN(NodePtr node, expression());
    if (token().kind != Token::Kind::kEnd) return unexpected();
    return node;
  }

 private:
  // One level of nesting; deeper than kDepthMax is refused, so that hostile texts cannot exhaust the stack.
  struct Level {
    explicit Level(int& depth) : depth_(depth) { ++depth_; }
    ~Level() { --depth_; }
    int& depth_;
  };

  const Token& token() const { return tokens_[at_]; }
  bool is(std::string_view symbol) const {
    return token().kind == Token::Kind::kSymbol && token().text == symbol;
  }
  bool take(std::string_view symbol) {
    if (!is(symbol)) return false;
    ++at_;
    return true;
  }
  Error unexpected() const {
    if (token().kind == Token::Kind::kEnd)
      return invalid_argument("Syntax error: the expression ends too early");
    const std::string text = token().kind == Token::Kind::kLiteral ? token().literal.dump() : token().text;
    return invalid_argument("Syntax error: unexpected '" + text + "' at offset " +
                            std::to_string(token().at));
  }
  Status expect(std::string_view symbol) {
    if (!take(symbol)) return unexpected();
    return {};
  }

  Result<NodePtr> expression() {
    const Level level(depth_);
    if (depth_ > kDepthMax) return invalid_argument("the expression is nested too deep");
    MUSTER_ASSIGN(NodePtr condition, binary(0));
    if (!take("?")) return condition;
    MUSTER_ASSIGN(NodePtr yes, binary(0));
    MUSTER_TRY(expect(":"));
    MUSTER_ASSIGN(NodePtr no, expression());
    return call("_?_:_", std::move(condition), std::move(yes), std::move(no));
  }

  bool operator_of(std::size_t rank, std::string& symbol) {
    static const std::array<std::vector<std::string>, 5> kRanks = {std::vector<std::string>{"||"},
                                                                   {"&&"},
                                                                   {"<", "<=", ">", ">=", "==", "!="},
                                                                   {"+", "-"},
                                                                   {"*", "/", "%"}};
    if (rank == 2 && token().kind == Token::Kind::kName && token().text == "in") {
      symbol = "in";
      return true;
    }
    if (token().kind != Token::Kind::kSymbol) return false;
    symbol = token().text;
    const auto& known = kRanks[rank];
    return std::find(known.begin(), known.end(), symbol) != known.end();
  }

  Result<NodePtr> binary(std::size_t rank) {
    if (rank == 5) return unary();
    MUSTER_ASSIGN(NodePtr left, binary(rank + 1));
    std::string symbol;
    int chain = 0;
    while (operator_of(rank, symbol)) {
      if (++chain > 500) return invalid_argument("the expression is too long");
      ++at_;
      MUSTER_ASSIGN(NodePtr right, binary(rank + 1));
      left = call("_" + symbol + "_", std::move(left), std::move(right));
    }
    return left;
  }

  Result<NodePtr> unary() {
    const Level level(depth_);
    if (depth_ > kDepthMax) return invalid_argument("the expression is nested too deep");
    if (take("!")) {
      MUSTER_ASSIGN(NodePtr operand, unary());
      return call("!_", std::move(operand));
    }
    if (take("-")) {
      MUSTER_ASSIGN(NodePtr operand, unary());
      return call("-_", std::move(operand));
    }
    return member();
  }

  Result<NodePtr> member() {
    MUSTER_ASSIGN(NodePtr node, primary());
    while (true) {
      if (take("[")) {
        MUSTER_ASSIGN(NodePtr index, expression());
        MUSTER_TRY(expect("]"));
        NodePtr outer = make(Node::Kind::kIndex);
        outer->parts.push_back(std::move(node));
        outer->parts.push_back(std::move(index));
        node = std::move(outer);
      } else if (take(".")) {
        if (token().kind != Token::Kind::kName) return unexpected();
        const std::string name = tokens_[at_++].text;
        if (is("(")) {
          MUSTER_ASSIGN(node, method(std::move(node), name));
        } else {
          NodePtr outer = make(Node::Kind::kSelect, name);
          outer->parts.push_back(std::move(node));
          node = std::move(outer);
        }
      } else {
        return node;
      }
    }
  }

  Result<NodePtr> method(NodePtr target, const std::string& name) {
    static const std::array<std::string_view, 5> kMacros = {"all", "exists", "exists_one", "filter", "map"};
    MUSTER_ASSIGN(auto arguments, list(")", "("));
    const bool macro =
        std::find(kMacros.begin(), kMacros.end(), name) != kMacros.end() && arguments.size() >= 2;
    if (macro) {
      if (arguments[0]->kind != Node::Kind::kName || arguments.size() > 3 ||
          (arguments.size() == 3 && name != "map"))
        return invalid_argument("the macro " + name + "() takes a variable and an expression");
      NodePtr node = make(Node::Kind::kMacro, name);
      node->variable = arguments[0]->text;
      node->parts.push_back(std::move(target));
      for (std::size_t i = 1; i < arguments.size(); ++i) node->parts.push_back(std::move(arguments[i]));
      return node;
    }
    NodePtr node = make(Node::Kind::kCall, name);
    node->method = true;
    node->parts.push_back(std::move(target));
    for (NodePtr& argument : arguments) node->parts.push_back(std::move(argument));
    return node;
  }

  Result<std::vector<NodePtr>> list(std::string_view close, std::string_view open = "") {
    if (!open.empty()) MUSTER_TRY(expect(open));
    std::vector<NodePtr> parts;
    while (!is(close)) {
      MUSTER_ASSIGN(NodePtr part, expression());
      parts.push_back(std::move(part));
      if (!take(",")) break;
    }
    MUSTER_TRY(expect(close));
    return parts;
  }

  Result<NodePtr> primary() {
    if (token().kind == Token::Kind::kLiteral) {
      NodePtr node = make(Node::Kind::kLiteral);
      node->literal = tokens_[at_++].literal;
      return node;
    }
    if (take("(")) {
      MUSTER_ASSIGN(NodePtr node, expression());
      MUSTER_TRY(expect(")"));
      return node;
    }
    if (take("[")) {
      MUSTER_ASSIGN(auto parts, list("]"));
      NodePtr node = make(Node::Kind::kList);
      node->parts = std::move(parts);
      return node;
    }
    if (take("{")) return map();
    take(".");  // a leading dot names the root scope, which is the only one here
    if (token().kind != Token::Kind::kName) return unexpected();
    const std::string name = tokens_[at_++].text;
    if (!is("(")) return make(Node::Kind::kName, name);
    MUSTER_ASSIGN(auto arguments, list(")", "("));
    if (name == "has") {
      if (arguments.size() != 1 || arguments[0]->kind != Node::Kind::kSelect)
        return invalid_argument("invalid argument to has() macro");
      NodePtr node = make(Node::Kind::kHas, arguments[0]->text);
      node->parts.push_back(std::move(arguments[0]->parts[0]));
      return node;
    }
    NodePtr node = make(Node::Kind::kCall, name);
    node->parts = std::move(arguments);
    return node;
  }

  Result<NodePtr> map() {
    NodePtr node = make(Node::Kind::kMap);
    while (!is("}")) {
      MUSTER_ASSIGN(NodePtr key, expression());
      MUSTER_TRY(expect(":"));
      MUSTER_ASSIGN(NodePtr value, expression());
      node->parts.push_back(std::move(key));
      node->parts.push_back(std::move(value));
      if (!take(",")) break;
    }
    MUSTER_TRY(expect("}"));
    return node;
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<std::unique_ptr<Node>> parse(std::string_view text) {
  MUSTER_ASSIGN(auto tokens, tokenize(text));
  return Parser(std::move(tokens)).run();
}

}  // namespace muster::local::cel
