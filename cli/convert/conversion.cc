// cli/convert/conversion.cc: one object on its way into a DistributedJob; no field of it is lost
#include "cli/convert/conversion.h"

#include <fmt/format.h>

#include <algorithm>

namespace muster::cli {
namespace {

std::string unescaped(std::string token) {
  for (const auto& [coded, plain] : {std::pair("~1", '/'), std::pair("~0", '~')})
    for (std::size_t at = 0; (at = token.find(coded, at)) != std::string::npos; ++at)
      token.replace(at, 2, 1, plain);
  return token;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string shown(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string field(const std::string& pointer, const Json& value) {
  return fmt::format("{}: {}", dotted(pointer), shown(value));
}

}  // namespace

std::string dotted(std::string_view pointer) {
  std::string out;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);  // the slash
    const std::string_view token = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(token.size());
    if (all_digits(token)) {
      out += fmt::format("[{}]", token);
    } else {
      out += (out.empty() ? "" : ".") + unescaped(std::string(token));
    }
  }
  return out;
}

std::string below(const std::string& pointer, std::string_view key) {
  std::string token;
  for (const char c : key) {
    if (c == '~') {
      token += "~0";
    } else if (c == '/') {
      token += "~1";
    } else {
      token += c;
    }
  }
  return pointer + "/" + token;
}

std::string below(const std::string& pointer, std::size_t index) {
  return fmt::format("{}/{}", pointer, index);
}

std::string as_label(std::string name) {
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) c = '-';
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.substr(std::min(name.find_first_not_of('-'), name.size()));
}

const Json& Conversion::see(const std::string& from) const {
  static const Json kNothing;
  const Json::json_pointer pointer(from);
  return source_.contains(pointer) ? source_[pointer] : kNothing;
}

Json Conversion::take(const std::string& from) {
  taken_.insert(from);
  return see(from);
}

template <typename T>
std::optional<T> Conversion::typed(const std::string& from, bool (Json::*is_such)() const noexcept,
                                   const char* such) {
  const Json value = take(from);
  if (value.is_null()) return std::nullopt;
  if ((value.*is_such)()) return value.get<T>();
  fail(from, fmt::format("must be {}, is {}", such, shown(value)));
  return std::nullopt;
}

std::optional<std::int64_t> Conversion::integer(const std::string& from) {
  return typed<std::int64_t>(from, &Json::is_number_integer, "an integer");
}

std::optional<std::string> Conversion::string(const std::string& from) {
  return typed<std::string>(from, &Json::is_string, "text");
}

std::optional<bool> Conversion::boolean(const std::string& from) {
  return typed<bool>(from, &Json::is_boolean, "true or false");
}

void Conversion::must_be_object(const std::string& from) {
  if (const Json& value = see(from); !value.is_null() && !value.is_object())
    fail(from, fmt::format("must be a map, is a {}", value.type_name()));
}

void Conversion::must_be_array(const std::string& from) {
  if (const Json& value = see(from); !value.is_null() && !value.is_array())
    fail(from, fmt::format("must be a list, is a {}", value.type_name()));
}

void Conversion::move(const std::string& from, const std::string& to) {
  if (Json value = take(from); !value.is_null()) out(to) = std::move(value);
}

void Conversion::move_members(const std::string& from, const std::string& to) {
  must_be_object(from);
  for (const auto& [key, value] : see(from).items()) {
    if (value.is_null() || taken(below(from, key))) continue;
    Json& map = out(to);
    if (map.is_null()) map = Json::object();
    map[key] = take(below(from, key));
  }
}

void Conversion::move_integer(const std::string& from, const std::string& to, IntegerRange range) {
  const auto value = integer(from);
  if (!value) return;
  if (*value >= range.min && *value <= range.max) {
    out(to) = *value;
  } else {
    say_of(from, *value, to, fmt::format("{} is from {} to {}; left out.", dotted(to), range.min, range.max));
  }
}

bool Conversion::taken(const std::string& pointer) const {
  for (std::size_t end = pointer.size(); end != std::string::npos && end > 0;
       end = pointer.rfind('/', end - 1))
    if (taken_.contains(pointer.substr(0, end))) return true;
  return false;
}

void Conversion::leaves(const Json& value, const std::string& at, std::vector<std::string>& fields) {
  if (value.is_null() || (!at.empty() && taken(at))) return;
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, member] : value.items()) leaves(member, below(at, key), fields);
  } else if (value.is_array() && !value.empty()) {
    for (std::size_t i = 0; i < value.size(); ++i) leaves(value[i], below(at, i), fields);
  } else {
    fields.push_back(field(at, value));
  }
}

void Conversion::add(Comment comment) {
  const auto same = std::find_if(comments_.begin(), comments_.end(), [&](const Comment& known) {
    return known.at == comment.at && known.text == comment.text;
  });
  if (same == comments_.end()) {
    comments_.push_back(std::move(comment));
  } else {
    same->fields.insert(same->fields.end(), comment.fields.begin(), comment.fields.end());
  }
}

void Conversion::drop(const std::string& from, const std::string& at, const std::string& why) {
  Comment comment{at, {}, why};
  leaves(see(from), from, comment.fields);
  taken_.insert(from);
  if (!comment.fields.empty()) add(std::move(comment));
}

void Conversion::drop_by_name(const std::string& from, const std::string& at, const std::string& why) {
  if (!take(from).is_null()) add({at, {dotted(from)}, why});
}

void Conversion::say_of(const std::string& from, const Json& value, const std::string& at,
                        const std::string& text) {
  add({at, {field(from, value)}, text});
}

void Conversion::fail(const std::string& from, const std::string& what) {
  if (!error_) error_ = invalid_argument(fmt::format("{}: {}", dotted(from), what));
}

Status Conversion::finish() {
  if (error_) return *error_;
  Comment comment{"/spec", {}, "Not known to this version of muster convert; left out."};
  leaves(source_, "", comment.fields);
  if (!comment.fields.empty()) add(std::move(comment));
  return {};
}

}  // namespace muster::cli
