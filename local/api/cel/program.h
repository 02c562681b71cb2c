#pragma once  // local/api/cel/program.h: a compiled CEL expression, of the subset that validation rules use
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local::cel {

struct Node {
  enum class Kind { kLiteral, kName, kSelect, kIndex, kCall, kList, kMap, kHas, kMacro };
  Kind kind = Kind::kLiteral;
  Json literal;
  std::string text;                          // name, member, function, operator ("_+_"), or macro
  std::string variable;                      // of a macro
  std::vector<std::unique_ptr<Node>> parts;  // operands; of a method call, its target first
  bool method = false;
};

// How much an evaluation may do; shared by the rules of one object.
struct Budget {
  std::int64_t steps = 2'000'000;
};

class Program {
 public:
  // The error says what is wrong with the expression; a function that is not in the subset is named. Only
  // `names` may be used freely.
  [[nodiscard]] static Result<std::shared_ptr<const Program>> compile(std::string_view text,
                                                                      const std::vector<std::string>& names);
  // Variables by name; they must outlive the call. kOutOfRange when the budget is spent, kInvalidArgument for
  // an error of the expression ("no such key: x").
  [[nodiscard]] Result<Json> evaluate(const std::map<std::string, const Json*>& variables,
                                      Budget& budget) const;
  [[nodiscard]] bool mentions(std::string_view name) const;

 private:
  explicit Program(std::unique_ptr<Node> root) : root_(std::move(root)) {}
  std::unique_ptr<Node> root_;
};

// For tests and for Program: the syntax alone. Nesting is limited.
[[nodiscard]] Result<std::unique_ptr<Node>> parse(std::string_view text);

}  // namespace muster::local::cel
