#pragma once  // common/json/fields.h: strict reading of a JSON object, errors with the field's path
#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace muster {

using Json = nlohmann::json;

struct IntegerRange {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};
struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

// Reads the members of one JSON object into typed variables. Absent members leave the variable, and
// so the default it was constructed with, alone. The first error is kept; finish() returns it, or
// names the first member that nobody read (a misspelt field). Not thread-safe; lives on the stack.
class Fields {
 public:
  // `path` is how error messages name the object: "spec.training", "" for the root.
  Fields(const Json& object, std::string path);

  Fields& string(std::string_view name, std::string& out);
  Fields& integer(std::string_view name, std::int64_t& out, IntegerRange range = {});
  Fields& integer(std::string_view name, std::optional<std::int64_t>& out, IntegerRange range = {});
  Fields& number(std::string_view name, double& out, NumberRange range = {});
  Fields& number(std::string_view name, std::optional<double>& out, NumberRange range = {});
  Fields& boolean(std::string_view name, bool& out);
  // `out` must be one of `allowed`.
  Fields& one_of(std::string_view name, std::string& out, std::initializer_list<std::string_view> allowed);
  // Calls `read` with the member and its path; its error becomes ours.
  Fields& object(std::string_view name, const std::function<Status(const Json&, const std::string&)>& read);
  // Calls `read` for each element, path "parent.name[3]".
  Fields& each(std::string_view name, const std::function<Status(const Json&, const std::string&)>& read);
  Fields& raw(std::string_view name, Json& out);  // any value, unread inside
  Fields& require(std::string_view name);         // an error if absent or null
  Fields& ignore(std::string_view name);          // known, not read here

  [[nodiscard]] Status finish();

 private:
  const Json* take(std::string_view name);
  void fail(std::string_view name, const std::string& message);
  [[nodiscard]] std::string at(std::string_view name) const;

  const Json& object_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
  std::optional<Error> error_;
};

// Parses text; the error names `what` and the byte offset.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::string_view what);

}  // namespace muster
