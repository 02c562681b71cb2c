// local/api/api_error.cc: the words of Kubernetes' own errors, which kubectl shows and programs match
#include "local/api/api_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace muster::local {
namespace {

std::string quoted_list(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ", ") + go_quote(value);
  return text;
}

std::string with_detail(std::string text, std::string_view detail) {
  if (!detail.empty()) text.append(": ").append(detail);
  return text;
}

// "widgets.parity.muster.dev" -> {"widgets", "parity.muster.dev"}
std::pair<std::string, std::string> split_group(std::string_view name) {
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return {std::string(name), ""};
  return {std::string(name.substr(0, dot)), std::string(name.substr(dot + 1))};
}

Json details_of(std::string_view resource, std::string_view name) {
  const auto [kind, group] = split_group(resource);
  Json details = Json::object();
  if (!name.empty()) details["name"] = name;
  if (!group.empty()) details["group"] = group;
  details["kind"] = kind;
  return details;
}

}  // namespace

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
          out += c;
    }
  }
  return out + "\"";
}

std::string go_value(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "\"null\"";
    case Json::value_t::string: return go_quote(value.get_ref<const std::string&>());
    case Json::value_t::object: {
      std::string text;
      for (const auto& [name, member] : value.items())
        text += (text.empty() ? "" : ", ") + go_quote(name) + ":" +
                (member.is_null() ? "interface {}(nil)" : go_value(member));
      return "map[string]interface {}{" + text + "}";
    }
    case Json::value_t::array: {
      std::string text;
      for (const Json& member : value) text += (text.empty() ? "" : ", ") + go_value(member);
      return "[]interface {}{" + text + "}";
    }
    case Json::value_t::number_float: {
      const double number = value.get<double>();
      return fmt::format("{}", number);
    }
    default: return value.dump();
  }
}

FieldError FieldError::required(std::string field, std::string_view detail) {
  return {"FieldValueRequired", std::move(field), with_detail("Required value", detail)};
}
FieldError FieldError::invalid(std::string field, const Json& value, std::string_view detail) {
  return {"FieldValueInvalid", std::move(field), with_detail("Invalid value: " + go_value(value), detail)};
}
FieldError FieldError::type_invalid(std::string field, const Json& value, std::string_view detail) {
  return {"FieldValueTypeInvalid", std::move(field),
          with_detail("Invalid value: " + go_value(value), detail)};
}
FieldError FieldError::not_supported(std::string field, const Json& value,
                                     const std::vector<std::string>& supported) {
  std::string text = "Unsupported value: " + go_value(value);
  if (!supported.empty()) text += ": supported values: " + quoted_list(supported);
  return {"FieldValueNotSupported", std::move(field), std::move(text)};
}
FieldError FieldError::duplicate(std::string field, const Json& value) {
  return {"FieldValueDuplicate", std::move(field), "Duplicate value: " + go_value(value)};
}
FieldError FieldError::forbidden(std::string field, std::string_view detail) {
  return {"FieldValueForbidden", std::move(field), with_detail("Forbidden", detail)};
}
FieldError FieldError::not_found(std::string field, const Json& value) {
  return {"FieldValueNotFound", std::move(field), "Not found: " + go_value(value)};
}
FieldError FieldError::too_long(std::string field, std::int64_t bytes_max) {
  return {"FieldValueTooLong", std::move(field),
          fmt::format("Too long: may not be more than {} bytes", bytes_max)};
}
FieldError FieldError::too_many(std::string field, std::size_t count, std::int64_t items_max) {
  return {"FieldValueTooMany", std::move(field),
          fmt::format("Too many: {}: must have at most {} items", count, items_max)};
}

Json ApiError::status() const {
  Json status{{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
              {"status", "Failure"}, {"message", message}, {"code", code}};
  if (!reason.empty()) status["reason"] = reason;
  if (!details.is_null()) status["details"] = details;
  if (!next.empty()) status["metadata"]["continue"] = next;
  if (retry_after_seconds > 0) status["details"]["retryAfterSeconds"] = retry_after_seconds;
  return status;
}

Error ApiError::error() const {
  switch (code) {
    case 400:
    case 405:
    case 406:
    case 415:
    case 422: return invalid_argument(message);
    case 401: return {Code::kUnauthenticated, message};
    case 403: return {Code::kPermissionDenied, message};
    case 404: return muster::not_found(message);
    case 409: return reason == "AlreadyExists" ? muster::already_exists(message) : aborted(message);
    case 410: return {Code::kOutOfRange, message};
    case 429: return resource_exhausted(message);
    case 504: return deadline_exceeded(message);
    default: return internal_error(message);
  }
}

ApiError ApiError::not_found(std::string_view resource, std::string_view name) {
  return {404, "NotFound", fmt::format("{} {} not found", resource, go_quote(name)),
          details_of(resource, name)};
}
ApiError ApiError::no_such_path() {
  return {404, "NotFound", "the server could not find the requested resource", Json::object()};
}
ApiError ApiError::already_exists(std::string_view resource, std::string_view name) {
  return {409, "AlreadyExists", fmt::format("{} {} already exists", resource, go_quote(name)),
          details_of(resource, name)};
}
ApiError ApiError::conflict(std::string_view resource, std::string_view name, std::string_view why) {
  return {409, "Conflict",
          fmt::format("Operation cannot be fulfilled on {} {}: {}", resource, go_quote(name), why),
          details_of(resource, name)};
}
ApiError ApiError::bad_request(std::string message) { return {400, "BadRequest", std::move(message), {}}; }

ApiError ApiError::invalid(std::string_view group_kind, std::string_view name, const FieldErrors& errors) {
  Json details = details_of(group_kind, name);
  std::vector<std::string> messages;
  std::set<std::string> seen;
  for (const FieldError& error : errors) {
    Json cause{{"reason", error.reason}, {"message", error.message}};
    if (!error.field.empty()) cause["field"] = error.field;
    details["causes"].push_back(std::move(cause));
    std::string line = error.field + ": " + error.message;
    if (seen.insert(line).second) messages.push_back(std::move(line));
  }
  std::string text = fmt::format("{}", fmt::join(messages, ", "));
  if (messages.size() > 1) text = "[" + text + "]";
  return {422, "Invalid", fmt::format("{} {} is invalid: {}", group_kind, go_quote(name), text),
          std::move(details)};
}
ApiError ApiError::plain_invalid(std::string message) { return {422, "Invalid", std::move(message), {}}; }
ApiError ApiError::method_not_allowed() {
  return {405, "MethodNotAllowed", "the server does not allow this method on the requested resource",
          Json::object()};
}
ApiError ApiError::unsupported_media_type(std::string_view accepted) {
  return {415,
          "UnsupportedMediaType",
          fmt::format("the body of the request was in an unknown format - accepted media types include: {}",
                      accepted),
          {}};
}
ApiError ApiError::expired(std::string message) { return {410, "Expired", std::move(message), {}}; }
ApiError ApiError::forbidden(std::string_view resource, std::string_view name, std::string_view why) {
  return {403, "Forbidden", fmt::format("{} {} is forbidden: {}", resource, go_quote(name), why),
          details_of(resource, name)};
}
ApiError ApiError::internal(const std::string& message) {
  return {500, "InternalError", "Internal error occurred: " + message, {}};
}
ApiError ApiError::timeout(std::string message) { return {504, "Timeout", std::move(message), {}}; }

}  // namespace muster::local
