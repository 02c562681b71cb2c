#pragma once  // local/api/cel/value.h: a value of CEL, made or borrowed from JSON together with its schema
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "local/api/schema.h"

namespace muster::local::cel {

enum class Kind {
  kNull,
  kBool,
  kInt,
  kUint,
  kDouble,
  kString,
  kBytes,
  kList,
  kMap,
  kType,  // text: its name
};

// Cheap to copy. What is borrowed (texts, lists and maps of an object) must outlive it.
class Value {
 public:
  Kind kind = Kind::kNull;
  std::int64_t number = 0;  // kBool, kInt, kUint (its bits)
  double real = 0;
  // Of JSON: a number with a point (2.0) where the schema has an integer. The schema takes it, a rule that
  // reads it fails.
  bool misplaced = false;

  static Value of_bool(bool value);
  static Value of_int(std::int64_t value);
  static Value of_uint(std::uint64_t value);
  static Value of_double(double value);
  static Value of_text(std::string text, Kind kind = Kind::kString);
  static Value of_list(std::vector<Value> items);
  static Value of_map(std::vector<Value> keys_and_values);  // keys at even places
  // `schema` null: by the form of the JSON alone.
  static Value of_json(const Json& json, const Schema* schema);

  [[nodiscard]] bool is_true() const { return kind == Kind::kBool && number != 0; }
  [[nodiscard]] std::uint64_t uint() const { return static_cast<std::uint64_t>(number); }
  [[nodiscard]] std::string_view text() const { return owned_ ? std::string_view(*owned_) : borrowed_; }
  [[nodiscard]] bool is_number() const {
    return kind == Kind::kInt || kind == Kind::kUint || kind == Kind::kDouble;
  }
  [[nodiscard]] double as_double() const;

  // kList, kMap (its entries).
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] Value item(std::size_t index) const;                        // of a list; index < size()
  [[nodiscard]] Result<std::optional<Value>> find(const Value& key) const;  // of a map
  [[nodiscard]] std::vector<Value> keys() const;                            // of a map
  [[nodiscard]] const Schema* schema() const { return schema_; }            // of a borrowed list or map
  // What it takes, in steps, to find() a key: a map that an expression made is searched from end to end.
  [[nodiscard]] std::int64_t find_steps() const {
    return json_ != nullptr ? 1 : static_cast<std::int64_t>(size());
  }
  // Takes from `steps` one for each value within this one, and one for each 64 bytes of a text. Values share
  // parts, so there can be far more of them than were ever made: it ends once the steps are spent.
  void weigh(std::int64_t& steps) const;

 private:
  std::string_view borrowed_;
  std::shared_ptr<const std::string> owned_;
  std::shared_ptr<const std::vector<Value>> items_;
  const Json* json_ = nullptr;
  const Schema* schema_ = nullptr;
};

// CEL's equality: numbers across kinds, lists in order (sets and list-maps of a schema in any order).
// Values that cannot be compared are not equal. kOutOfRange when the `steps` are spent: one for each pair of
// values that is compared.
[[nodiscard]] Result<bool> equal(const Value& a, const Value& b, std::int64_t& steps);
// The same for what is small, or was weighed before: keys, items of lists.
[[nodiscard]] Result<bool> equal(const Value& a, const Value& b);
// -1, 0, 1; kInvalidArgument "no such overload" where there is no order.
[[nodiscard]] Result<int> compare(const Value& a, const Value& b);
[[nodiscard]] std::string type_name(const Value& value);
// A field's name as CEL writes it ("__dash__", "__in__").
[[nodiscard]] std::string escape_field(std::string_view name);

[[nodiscard]] inline Error no_overload() { return invalid_argument("no such overload"); }
[[nodiscard]] inline Error too_costly() {
  return Error{Code::kOutOfRange, "the rule costs too much to evaluate"};
}

}  // namespace muster::local::cel
