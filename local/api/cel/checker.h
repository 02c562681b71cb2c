#pragma once  // local/api/cel/checker.h: static types of an expression, as the real server demands them
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "local/api/cel/program.h"

namespace muster::local::cel {

struct Type;
using TypePtr = std::shared_ptr<const Type>;

// "int", "list" (of[0]), "map" (of[0] to of[1]), "object" (schema), "dyn", ... A name of one capital letter
// is a parameter of a signature.
struct Type {
  std::string name;
  std::vector<TypePtr> of;
  const Schema* schema = nullptr;
  bool root = false;  // object: a whole resource
};

// The type of values of a schema; null if rules cannot see them (no type is declared, or one
// of a format that they would see as bytes, a duration or a time).
[[nodiscard]] TypePtr type_of_schema(const Schema& schema, bool root);
[[nodiscard]] std::string type_text(const Type& type);

struct Overload {
  bool method = false;
  std::vector<TypePtr> arguments;
  TypePtr result;
};
// All overloads of a function; null if there is no such function (signatures.cc).
[[nodiscard]] const std::vector<Overload>* overloads_of(const std::string& function);

// The type of the expression; the error is located in `text`.
[[nodiscard]] Result<TypePtr> check_types(const Node& root, const Scope& scope, std::string_view text);

}  // namespace muster::local::cel
