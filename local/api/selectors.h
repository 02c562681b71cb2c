#pragma once  // local/api/selectors.h: label and field selectors of lists and watches. Pure
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "local/api/api_error.h"
#include "local/api/kind.h"
#include "local/api/object_store.h"

namespace muster::local {

struct LabelRequirement {
  enum class Operator { kIn, kNotIn, kExists, kDoesNotExist, kGreaterThan, kLessThan };
  std::string key;
  Operator op = Operator::kExists;
  std::vector<std::string> values;
};

struct FieldRequirement {
  std::string field;  // "metadata.name"
  bool equal = true;
  std::string value;
};

// Which objects a list or a watch is about.
class Selector {
 public:
  Selector() = default;
  // Both as in the query. 400 with the real server's words if one cannot be parsed or names a field that
  // `kind` does not select by.
  [[nodiscard]] static ApiResult<Selector> parse(std::string_view labels, std::string_view fields,
                                                 const Kind& kind);
  [[nodiscard]] bool matches(const StoredObject& object) const;
  [[nodiscard]] bool everything() const { return labels_.empty() && fields_.empty(); }
  // The name that a field selector asks for, or "".
  [[nodiscard]] std::string name() const;

 private:
  std::vector<LabelRequirement> labels_;
  std::vector<FieldRequirement> fields_;
  bool reads_json_ = false;  // a field other than name and namespace
};

// "a=b,c in (d, e),!f"
[[nodiscard]] ApiResult<std::vector<LabelRequirement>> parse_label_selector(std::string_view text);
[[nodiscard]] bool matches(const std::vector<LabelRequirement>& requirements,
                           const std::vector<std::pair<std::string, std::string>>& labels);

}  // namespace muster::local
