#pragma once  // local/api/json_path.h: the JSONPath of printer columns and the plain paths of scale and
              // selectable fields
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// ".spec.replicas" in `object`; null if a step is missing.
[[nodiscard]] const Json* find_path(const Json& object, std::string_view path);
// Sets it, making objects on the way; a null value removes it.
void set_path(Json& object, std::string_view path, Json value);

// A compiled JSONPath: fields, ['quoted'], [index], [-1], [*], [start:end] and filters [?(@.a=="b")].
class JsonPath {
 public:
  [[nodiscard]] static Result<JsonPath> compile(std::string_view text);
  // Every value it leads to, in order; a search that takes too long ends with what it has.
  [[nodiscard]] std::vector<const Json*> find(const Json& object) const;

 private:
  struct Step {
    enum class Kind { kField, kIndex, kSlice, kWildcard, kFilter, kRecursive };
    Kind kind = Kind::kField;
    std::string field;
    std::optional<long> start, end;
    std::vector<Step> left;  // of a filter; relative to @
    std::string op;          // "==", "!=", "<", ... or "" for existence
    Json right;
  };
  struct Search {
    std::vector<const Json*> found;
    std::size_t visits = 0;
  };
  // `filters`: how many the text is within.
  static Result<std::vector<Step>> compile_steps(std::string_view& text, int filters);
  static Result<Step> compile_bracket(std::string_view& text, int filters);
  static Result<Step> compile_filter(std::string_view inside, int filters);
  static void apply(const std::vector<Step>& steps, std::size_t at, const Json& value, Search& out);
  static bool accepts(const Step& filter, const Json& value, Search& search);

  std::vector<Step> steps_;
};

}  // namespace muster::local
