// local/api/schema_validate.cc: judging a value by its schema, in the words of the real server
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/json/whole_number.h"
#include "local/api/formats.h"
#include "local/api/schema.h"

namespace muster::local {
namespace {

std::string_view json_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "object";
    case Json::value_t::array: return "array";
    case Json::value_t::string: return "string";
    case Json::value_t::boolean: return "boolean";
    default: return whole_number(value) ? "integer" : "number";
  }
}

bool type_fits(std::string_view seen, const Schema& schema) {
  if (schema.int_or_string) return seen == "integer" || seen == "string";
  if (schema.type == Schema::Type::kAny) return true;
  const std::string_view wanted = type_text(schema.type);
  return seen == wanted || (wanted == "number" && seen == "integer");
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

class Validator {
 public:
  explicit Validator(FieldErrors& errors) : errors_(errors) {}

  void check(const Json& value, const Schema& schema, const std::string& path) {
    const std::string_view seen = json_type(value);
    if (value.is_null() && schema.nullable) return;
    if (!type_fits(seen, schema)) {
      const std::string wanted =
          schema.int_or_string ? "integer,string" : std::string(type_text(schema.type));
      errors_.push_back(FieldError::type_invalid(
          path, std::string(seen),
          fmt::format("{} in body must be of type {}: {}", path, wanted, go_quote(seen))));
    }
    branches(value, schema, path);
    if (value.is_string()) string(value, schema, path);
    if (value.is_number()) number(value, schema, path);
    if (value.is_array()) array(value, schema, path);
    enumeration(value, schema, path);
    if (value.is_object()) object(value, schema, path);
  }

 private:
  void fail(const std::string& path, const Json& value, const std::string& what) {
    errors_.push_back(FieldError::invalid(path, value, fmt::format("{} in body {}", path, what)));
  }

  void string(const Json& value, const Schema& schema, const std::string& path) {
    const auto& text = value.get_ref<const std::string&>();
    const auto length = static_cast<std::int64_t>(characters(text));
    if (schema.max_length && length > *schema.max_length)  // the first of these hides the others
      errors_.push_back(FieldError::too_long(path, *schema.max_length));
    else if (schema.min_length && length < *schema.min_length)
      fail(path, value, fmt::format("should be at least {} chars long", *schema.min_length));
    else if (schema.regex && schema.regex->ok() && !re2::RE2::PartialMatch(text, *schema.regex))
      fail(path, value, fmt::format("should match '{}'", schema.pattern));
    if (!schema.format.empty() && !matches_format(schema.format, text))
      errors_.push_back(FieldError::type_invalid(
          path, value,
          fmt::format("{} in body must be of type {}: {}", path, schema.format, go_quote(text))));
  }

  // Of a whole number a real server compares with the whole part of the bound, as an int64: 0 is not below a
  // minimum of 0.5, and what is too large for one is its smallest (seen on 1.36, amd64).
  static std::optional<double> bound_for(const Json& value, std::optional<double> bound) {
    if (!bound || !value.is_number_integer()) return bound;
    constexpr double kLimit = 9223372036854775808.0;
    return *bound >= kLimit || *bound < -kLimit ? -kLimit : std::trunc(*bound);
  }

  void number(const Json& value, const Schema& schema, const std::string& path) {
    const double x = value.get<double>();
    const auto maximum = bound_for(value, schema.maximum), minimum = bound_for(value, schema.minimum);
    if (schema.multiple_of && *schema.multiple_of > 0 &&
        std::abs(std::remainder(x, *schema.multiple_of)) > 1e-9 * std::max(1.0, std::abs(x)))
      fail(path, value, fmt::format("should be a multiple of {}", *schema.multiple_of));
    if (maximum && (schema.exclusive_maximum ? x >= *maximum : x > *maximum))
      fail(path, value,
           fmt::format("should be less than {}{}", schema.exclusive_maximum ? "" : "or equal to ", *maximum));
    if (minimum && (schema.exclusive_minimum ? x <= *minimum : x < *minimum))
      fail(path, value,
           fmt::format("should be greater than {}{}", schema.exclusive_minimum ? "" : "or equal to ",
                       *minimum));
  }

  void array(const Json& value, const Schema& schema, const std::string& path) {
    const auto count = static_cast<std::int64_t>(value.size());
    if (schema.items)
      for (std::size_t i = 0; i < value.size(); ++i)
        check(value[i], *schema.items, fmt::format("{}[{}]", path, i));
    if (schema.min_items && count < *schema.min_items)
      fail(path, count, fmt::format("should have at least {} items", *schema.min_items));
    if (schema.max_items && count > *schema.max_items)
      errors_.push_back(FieldError::too_many(path, value.size(), *schema.max_items));
    duplicates(value, schema, path);
  }

  void duplicates(const Json& value, const Schema& schema, const std::string& path) {
    if (schema.list_type != "map" && schema.list_type != "set") return;
    std::set<Json> seen, told;  // each is told once
    for (std::size_t i = 0; i < value.size(); ++i) {
      Json key = value[i];
      if (schema.list_type == "map") {
        key = Json::object();
        for (const std::string& name : schema.list_map_keys)
          if (value[i].is_object() && value[i].contains(name)) key[name] = value[i][name];
      }
      if (!seen.insert(key).second && told.insert(key).second)
        errors_.push_back(FieldError::duplicate(fmt::format("{}[{}]", path, i), key));
    }
  }

  void enumeration(const Json& value, const Schema& schema, const std::string& path) {
    if (schema.enumeration.empty()) return;
    if (std::find(schema.enumeration.begin(), schema.enumeration.end(), value) != schema.enumeration.end())
      return;
    std::vector<std::string> supported;
    for (const Json& allowed : schema.enumeration)
      supported.push_back(allowed.is_string() ? allowed.get<std::string>() : allowed.dump());
    errors_.push_back(FieldError::not_supported(path, value, supported));
  }

  void object(const Json& value, const Schema& schema, const std::string& path) {
    const auto count = static_cast<std::int64_t>(value.size());
    for (const std::string& name : schema.required)
      if (!value.contains(name)) errors_.push_back(FieldError::required(join_path(path, name)));
    for (const auto& [name, member] : value.items())
      if (const Schema* type = schema.property(name)) check(member, *type, join_path(path, name));
    if (schema.min_properties && count < *schema.min_properties)
      fail(path, count, fmt::format("should have at least {} properties", *schema.min_properties));
    if (schema.max_properties && count > *schema.max_properties)
      errors_.push_back(FieldError::too_many(path, value.size(), *schema.max_properties));
  }

  static FieldErrors judge(const Json& value, const Schema& schema, const std::string& path) {
    FieldErrors errors;
    Validator(errors).check(value, schema, path);
    return errors;
  }

  // What concerns a choice between schemas has no field of its own.
  void fail_choice(const std::string& path, const std::string& what) {
    errors_.push_back(FieldError::invalid("<nil>", "", go_quote(path) + " " + what));
  }

  void branches(const Json& value, const Schema& schema, const std::string& path) {
    const auto add = [this](const FieldErrors& more) {
      errors_.insert(errors_.end(), more.begin(), more.end());
    };
    const auto count_good = [&](const std::vector<SchemaPtr>& list, FieldErrors& first) {
      std::size_t good = 0;
      for (const SchemaPtr& branch : list) {
        const FieldErrors wrong = judge(value, *branch, path);
        if (wrong.empty()) ++good;
        if (first.empty()) first = wrong;
      }
      return good;
    };
    FieldErrors first;
    if (!schema.any_of.empty() && !schema.int_or_string && count_good(schema.any_of, first) == 0) {
      fail_choice(path, "must validate at least one schema (anyOf)");
      add(first);
    }
    first.clear();
    if (!schema.one_of.empty()) {
      const std::size_t good = count_good(schema.one_of, first);
      if (good != 1)
        fail_choice(path,
                    "must validate one and only one schema (oneOf). " +
                        (good == 0 ? "Found none valid" : fmt::format("Found {} valid alternatives", good)));
      if (good == 0) add(first);
    }
    if (!schema.all_of.empty()) {
      std::size_t good = 0;
      for (const SchemaPtr& branch : schema.all_of) {
        const FieldErrors wrong = judge(value, *branch, path);
        if (wrong.empty()) ++good;
        add(wrong);
      }
      if (good != schema.all_of.size())
        fail_choice(path, std::string("must validate all the schemas (allOf)") +
                              (good == 0 ? ". None validated" : ""));
    }
    if (schema.negated && judge(value, *schema.negated, path).empty())
      fail_choice(path, "must not validate the schema (not)");
  }

  FieldErrors& errors_;
};

}  // namespace

void validate_schema(const Json& value, const Schema& schema, const std::string& path, FieldErrors& errors) {
  Validator(errors).check(value, schema, path);
}

bool blocks_rules(const FieldErrors& errors) {
  return std::any_of(errors.begin(), errors.end(), [](const FieldError& error) {
    return error.reason == "FieldValueNotSupported" || error.reason == "FieldValueRequired" ||
           error.reason == "FieldValueTooLong" || error.reason == "FieldValueTooMany" ||
           error.reason == "FieldValueTypeInvalid";
  });
}

}  // namespace muster::local
