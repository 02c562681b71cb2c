// local/api/cel/parser.cc: recursive descent over CEL's grammar, macros expanded
#include <algorithm>
#include <array>

#include "local/api/cel/lexer.h"
#include "local/api/cel/program.h"

namespace muster::local::cel {
namespace {

constexpr int kDepthMax = 100;

using NodePtr = std::unique_ptr<Node>;

constexpr int kHeightMax = 400;  // of the tree: what walks it recurses that deep

NodePtr make(Node::Kind kind, std::size_t at, std::string text = "") {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->text = std::move(text);
  node->at = at;
  return node;
}

void adopt(Node& node, NodePtr part) {
  node.height = std::max(node.height, part->height + 1);
  node.parts.push_back(std::move(part));
}

template <typename... Parts>
NodePtr call(std::string function, std::size_t at, Parts... parts) {
  NodePtr node = make(Node::Kind::kCall, at, std::move(function));
  (adopt(*node, std::move(parts)), ...);
  return node;
}

bool is_macro(std::string_view name, std::size_t arguments) {
  if (name == "map" && arguments == 3) return true;
  return arguments == 2 &&
         (name == "all" || name == "exists" || name == "exists_one" || name == "filter" || name == "map");
}

class Parser {
 public:
  Parser(std::string_view text, std::vector<Token> tokens) : text_(text), tokens_(std::move(tokens)) {}

  Result<NodePtr> run() {
    MUSTER_ASSIGN(NodePtr node, expression());
    if (token().kind != Token::Kind::kEnd) return unexpected();
    return checked(std::move(node));
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
  Error fail(std::string_view message) const { return located(text_, token().at, message); }
  Error unexpected() const {
    if (token().kind == Token::Kind::kEnd) return fail("Syntax error: mismatched input '<EOF>'");
    const std::string text =
        token().kind == Token::Kind::kLiteral ? std::string(token().literal.text()) : token().text;
    return fail("Syntax error: extraneous input '" + text + "'");
  }
  Result<NodePtr> checked(NodePtr node) const {
    if (node->height > kHeightMax)
      return fail("expression recursion limit exceeded: " + std::to_string(kHeightMax));
    return node;
  }
  Status expect(std::string_view symbol) {
    if (!take(symbol)) return unexpected();
    return {};
  }

  Result<NodePtr> expression() {
    const Level level(depth_);
    if (depth_ > kDepthMax) return fail("expression recursion limit exceeded: 100");
    MUSTER_ASSIGN(NodePtr condition, binary(0));
    const std::size_t at = token().at;
    if (!take("?")) return condition;
    MUSTER_ASSIGN(NodePtr yes, binary(0));
    MUSTER_TRY(expect(":"));
    MUSTER_ASSIGN(NodePtr no, expression());
    return checked(call("_?_:_", at, std::move(condition), std::move(yes), std::move(no)));
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
    while (operator_of(rank, symbol)) {
      const std::size_t at = tokens_[at_++].at;
      MUSTER_ASSIGN(NodePtr right, binary(rank + 1));
      MUSTER_ASSIGN(left, checked(call("_" + symbol + "_", at, std::move(left), std::move(right))));
    }
    return left;
  }

  Result<NodePtr> unary() {
    const Level level(depth_);
    if (depth_ > kDepthMax) return fail("expression recursion limit exceeded: 100");
    const std::size_t at = token().at;
    for (const char* sign : {"!", "-"}) {
      if (!take(sign)) continue;
      MUSTER_ASSIGN(NodePtr operand, unary());
      return call(std::string(sign) + "_", at, std::move(operand));
    }
    return member();
  }

  Result<NodePtr> member() {
    MUSTER_ASSIGN(NodePtr node, primary());
    while (true) {
      const std::size_t at = token().at;
      if (take("[")) {
        NodePtr outer = make(Node::Kind::kIndex, at);
        MUSTER_ASSIGN(NodePtr index, expression());
        MUSTER_TRY(expect("]"));
        adopt(*outer, std::move(node));
        adopt(*outer, std::move(index));
        MUSTER_ASSIGN(node, checked(std::move(outer)));
      } else if (take(".")) {
        if (token().kind != Token::Kind::kName) return unexpected();
        const std::string name = tokens_[at_++].text;
        if (is("(")) {
          MUSTER_ASSIGN(node, method(std::move(node), name, token().at));
        } else {
          NodePtr outer = make(Node::Kind::kSelect, at, name);
          adopt(*outer, std::move(node));
          MUSTER_ASSIGN(node, checked(std::move(outer)));
        }
      } else {
        return node;
      }
    }
  }

  Result<NodePtr> method(NodePtr target, const std::string& name, std::size_t at) {
    MUSTER_ASSIGN(auto arguments, list(")", "("));
    const bool macro = is_macro(name, arguments.size());
    NodePtr node = make(macro ? Node::Kind::kMacro : Node::Kind::kCall, at, name);
    if (macro && arguments[0]->kind != Node::Kind::kName) return fail("argument must be a simple name");
    if (macro) node->variable = arguments[0]->text;
    node->method = true;
    adopt(*node, std::move(target));
    for (std::size_t i = macro ? 1 : 0; i < arguments.size(); ++i) adopt(*node, std::move(arguments[i]));
    return checked(std::move(node));
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
    const std::size_t at = token().at;
    if (token().kind == Token::Kind::kLiteral) {
      NodePtr node = make(Node::Kind::kLiteral, at);
      node->literal = tokens_[at_++].literal;
      return node;
    }
    if (take("(")) {
      MUSTER_ASSIGN(NodePtr node, expression());
      MUSTER_TRY(expect(")"));
      return node;
    }
    if (take("[")) return list_literal(at);
    if (take("{")) return map_literal(at);
    take(".");  // a leading dot names the root scope, which is the only one here
    if (token().kind != Token::Kind::kName) return unexpected();
    const std::string name = tokens_[at_++].text;
    if (!is("(")) return make(Node::Kind::kName, at, name);
    const std::size_t open = token().at;
    MUSTER_ASSIGN(auto arguments, list(")", "("));
    if (name == "has") {
      if (arguments.size() != 1 || arguments[0]->kind != Node::Kind::kSelect)
        return located(text_, open, "invalid argument to has() macro");
      arguments[0]->kind = Node::Kind::kHas;
      return std::move(arguments[0]);
    }
    NodePtr node = make(Node::Kind::kCall, open, name);
    for (NodePtr& argument : arguments) adopt(*node, std::move(argument));
    return node;
  }

  Result<NodePtr> list_literal(std::size_t at) {
    NodePtr node = make(Node::Kind::kList, at);
    while (!is("]")) {
      MUSTER_ASSIGN(NodePtr item, expression());
      adopt(*node, std::move(item));
      if (!take(",")) break;
    }
    MUSTER_TRY(expect("]"));
    return node;
  }

  Result<NodePtr> map_literal(std::size_t at) {
    NodePtr node = make(Node::Kind::kMap, at);
    while (!is("}")) {
      MUSTER_ASSIGN(NodePtr key, expression());
      MUSTER_TRY(expect(":"));
      MUSTER_ASSIGN(NodePtr value, expression());
      adopt(*node, std::move(key));
      adopt(*node, std::move(value));
      if (!take(",")) break;
    }
    MUSTER_TRY(expect("}"));
    return node;
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<std::unique_ptr<Node>> parse(std::string_view text) {
  MUSTER_ASSIGN(auto tokens, tokenize(text));
  return Parser(text, std::move(tokens)).run();
}

}  // namespace muster::local::cel
