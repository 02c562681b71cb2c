// common/json/fields.cc: strict reading of a JSON object, errors with the field's path
#include "common/json/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "common/json/read_json.h"
#include "common/json/whole_number.h"

namespace muster {

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) {
    error_ = invalid_argument(
        fmt::format("{}: must be an object, is {}", path_.empty() ? "(root)" : path_, object.type_name()));
  }
}

std::string Fields::at(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Fields::fail(std::string_view name, const std::string& message) {
  if (!error_) error_ = invalid_argument(at(name) + ": " + message);
}

const Json* Fields::take(std::string_view name) {
  known_.emplace(name);
  if (error_) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

Fields& Fields::string(std::string_view name, std::string& out) {
  if (const Json* value = take(name)) {
    if (value->is_string())
      out = value->get<std::string>();
    else
      fail(name, fmt::format("must be a string, is {}", value->type_name()));
  }
  return *this;
}

Fields& Fields::integer(std::string_view name, std::int64_t& out, IntegerRange range) {
  if (const Json* value = take(name)) {
    const auto read = whole_number(*value);
    if (!read) {
      fail(name, fmt::format("must be an integer, is {}", value->dump()));
    } else if (*read < range.min) {
      fail(name, fmt::format("must be at least {}, is {}", range.min, *read));
    } else if (*read > range.max) {
      fail(name, fmt::format("must be at most {}, is {}", range.max, *read));
    } else {
      out = *read;
    }
  }
  return *this;
}

Fields& Fields::integer(std::string_view name, std::optional<std::int64_t>& out, IntegerRange range) {
  if (take(name) != nullptr) integer(name, out.emplace(0), range);
  return *this;
}

Fields& Fields::number(std::string_view name, double& out, NumberRange range) {
  if (const Json* value = take(name)) {
    if (!value->is_number()) {
      fail(name, fmt::format("must be a number, is {}", value->type_name()));
    } else if (const double read = value->get<double>(); !(read >= range.min)) {
      fail(name, fmt::format("must be at least {}, is {}", range.min, read));
    } else if (!(read <= range.max)) {
      fail(name, fmt::format("must be at most {}, is {}", range.max, read));
    } else {
      out = read;
    }
  }
  return *this;
}

Fields& Fields::number(std::string_view name, std::optional<double>& out, NumberRange range) {
  if (take(name) != nullptr) number(name, out.emplace(0), range);
  return *this;
}

Fields& Fields::boolean(std::string_view name, bool& out) {
  if (const Json* value = take(name)) {
    if (value->is_boolean())
      out = value->get<bool>();
    else
      fail(name, fmt::format("must be true or false, is {}", value->dump()));
  }
  return *this;
}

Fields& Fields::one_of(std::string_view name, std::string& out,
                       std::initializer_list<std::string_view> allowed) {
  std::string read = out;
  string(name, read);
  if (error_) return *this;
  for (const std::string_view candidate : allowed) {
    if (read == candidate) {
      out = read;
      return *this;
    }
  }
  fail(name, fmt::format("\"{}\" is not supported, use one of: {}", read, fmt::join(allowed, ", ")));
  return *this;
}

Fields& Fields::object(std::string_view name,
                       const std::function<Status(const Json&, const std::string&)>& read) {
  if (const Json* value = take(name)) {
    if (Status status = read(*value, at(name)); !status && !error_) error_ = status.error();
  }
  return *this;
}

Fields& Fields::each(std::string_view name,
                     const std::function<Status(const Json&, const std::string&)>& read) {
  const Json* value = take(name);
  if (value == nullptr) return *this;
  if (!value->is_array()) {
    fail(name, fmt::format("must be a list, is {}", value->type_name()));
    return *this;
  }
  for (std::size_t i = 0; i < value->size() && !error_; ++i) {
    if (Status status = read((*value)[i], fmt::format("{}[{}]", at(name), i)); !status)
      error_ = status.error();
  }
  return *this;
}

Fields& Fields::raw(std::string_view name, Json& out) {
  if (const Json* value = take(name)) out = *value;
  return *this;
}

Fields& Fields::require(std::string_view name) {
  if (take(name) == nullptr) fail(name, "required field is missing");
  return *this;
}

Fields& Fields::ignore(std::string_view name) {
  take(name);
  return *this;
}

Status Fields::finish() {
  if (error_) return *error_;
  for (const auto& member : object_.items()) {
    if (!known_.contains(member.key())) {
      return invalid_argument(
          fmt::format("{}: unknown field; known here: {}", at(member.key()), fmt::join(known_, ", ")));
    }
  }
  return {};
}

Result<Json> parse_json(std::string_view text, std::string_view what) {
  if (nested_too_deep(text))
    return invalid_argument(fmt::format("{}: nested more than {} levels deep", what, kJsonDepthMax));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return invalid_argument(fmt::format("{}: not JSON at byte {}", what, error.byte));
  } catch (const Json::out_of_range&) {
    return invalid_argument(fmt::format("{}: a number is too large for a double", what));
  }
}

}  // namespace muster
