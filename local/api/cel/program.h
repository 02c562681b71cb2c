#pragma once  // local/api/cel/program.h: a compiled CEL expression of a validation rule
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "local/api/cel/value.h"

namespace muster::local::cel {

struct Node {
  enum class Kind { kLiteral, kName, kSelect, kIndex, kCall, kList, kMap, kHas, kMacro };
  Kind kind = Kind::kLiteral;
  Value literal;
  std::string text;                          // name, member, function, operator ("_+_"), or macro
  std::string variable;                      // of a macro
  std::vector<std::unique_ptr<Node>> parts;  // operands; of a method call or a macro, its target first
  bool method = false;
  std::size_t at = 0;  // where it stands in the text
  int height = 1;
};

// How much an evaluation may do; shared by the rules of one object.
struct Budget {
  std::int64_t steps = 2'000'000;
};

// What an expression may speak of: `self`, and `oldSelf` of the same type.
struct Scope {
  const Schema* self = nullptr;
  bool root = false;  // self is a whole resource: apiVersion, kind and metadata.name are there
};

class Program {
 public:
  // `result` is the type that it must have: "bool" or "string". The error is what the real server says after
  // "compilation failed: "; a function that is not known is named.
  [[nodiscard]] static Result<std::shared_ptr<const Program>> compile(std::string_view text,
                                                                      const Scope& scope,
                                                                      std::string_view result);
  // `old_self` null: there is none. kOutOfRange when the budget is spent, kInvalidArgument for an error of
  // the expression ("no such key: x").
  [[nodiscard]] Result<Value> evaluate(const Value& self, const Value* old_self, Budget& budget) const;
  [[nodiscard]] bool mentions(std::string_view name) const;

 private:
  explicit Program(std::unique_ptr<Node> root) : root_(std::move(root)) {}
  std::unique_ptr<Node> root_;
};

// For tests and for Program: the syntax alone. Nesting is limited.
[[nodiscard]] Result<std::unique_ptr<Node>> parse(std::string_view text);

// The error as the real server shows it: place, message, the text's line and a mark under it.
[[nodiscard]] Error located(std::string_view text, std::size_t at, std::string_view message);

}  // namespace muster::local::cel
