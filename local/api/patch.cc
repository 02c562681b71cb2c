// local/api/patch.cc: merge patches (RFC 7386) and JSON patches (RFC 6902)
#include "local/api/patch.h"

#include <fmt/format.h>

#include <optional>

#include "common/json/read_json.h"

namespace muster::local {
namespace {

constexpr std::size_t kOperationsMax = 10000;  // as the real server
constexpr std::size_t kCopiedBytesMax =
    3 * 1024 * 1024;  // by all copies of a patch together, as the real server

std::optional<std::vector<std::string>> parse_pointer(const std::string& pointer) {
  std::vector<std::string> parts;
  if (pointer.empty()) return parts;
  if (pointer[0] != '/') return std::nullopt;
  std::string part;
  for (std::size_t i = 1; i <= pointer.size(); ++i) {
    if (i == pointer.size() || pointer[i] == '/') {
      parts.push_back(std::exchange(part, {}));
    } else if (pointer[i] == '~' && i + 1 < pointer.size() &&
               (pointer[i + 1] == '0' || pointer[i + 1] == '1')) {
      part += pointer[++i] == '0' ? '~' : '/';
    } else {
      part += pointer[i];
    }
  }
  return parts;
}

std::optional<std::size_t> parse_index(const std::string& text) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoul(text);
}

Json* step(Json& at, const std::string& part) {
  if (at.is_object()) {
    const auto it = at.find(part);
    return it == at.end() ? nullptr : &*it;
  }
  if (!at.is_array()) return nullptr;
  const auto index = parse_index(part);
  return index && *index < at.size() ? &at[*index] : nullptr;
}

Json* walk(Json& root, const std::vector<std::string>& parts, std::size_t count) {
  Json* at = &root;
  for (std::size_t i = 0; i < count && at != nullptr; ++i) at = step(*at, parts[i]);
  return at;
}

// The real server does not tell clients why; nor do we, in the same words.
ApiError fail(const std::string&) {
  return {422, "Invalid", "the server rejected our request due to an error in our request", Json::object()};
}

ApiStatus add(Json& root, const std::vector<std::string>& parts, const std::string& path, Json value) {
  if (parts.empty()) {
    root = std::move(value);
    return {};
  }
  Json* parent = walk(root, parts, parts.size() - 1);
  if (parent == nullptr || (!parent->is_object() && !parent->is_array()))
    return fail(
        fmt::format("add operation does not apply: doc is missing path: {}: missing value", go_quote(path)));
  if (parent->is_object()) {
    (*parent)[parts.back()] = std::move(value);
    return {};
  }
  if (parts.back() == "-") {
    parent->push_back(std::move(value));
    return {};
  }
  const auto index = parse_index(parts.back());
  if (!index || *index > parent->size())
    return fail(
        fmt::format("add operation does not apply: error in add for path: '{}': Unable to access invalid "
                    "index: {}: invalid index referenced",
                    path, parts.back()));
  parent->insert(parent->begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return {};
}

ApiStatus remove(Json& root, const std::vector<std::string>& parts, const std::string& path,
                 const char* operation) {
  Json* parent = parts.empty() ? nullptr : walk(root, parts, parts.size() - 1);
  if (parent != nullptr && parent->is_object() && parent->erase(parts.back()) > 0) return {};
  if (parent != nullptr && parent->is_array()) {
    const auto index = parse_index(parts.back());
    if (index && *index < parent->size()) {
      parent->erase(*index);
      return {};
    }
    return fail(
        fmt::format("{} operation does not apply: error in remove for path: '{}': Unable to access invalid "
                    "index: {}: invalid index referenced",
                    operation, path, parts.back()));
  }
  if (parent != nullptr && parent->is_object())
    return fail(
        fmt::format("{} operation does not apply: error in remove for path: '{}': Unable to remove "
                    "nonexistent key: {}: missing value",
                    operation, path, parts.back()));
  return fail(fmt::format("{} operation does not apply: doc is missing path: {}: missing value", operation,
                          go_quote(path)));
}

// `copied` counts the bytes that operations "copy" have made. Steps can nest a value deeper than the stack
// is, so nothing here recurses into one that was not checked.
ApiStatus apply_operation(Json& root, const Json& operation, std::size_t& copied) {
  const auto text = [&](const char* name) {
    return operation.is_object() && operation.contains(name) && operation[name].is_string()
               ? std::optional(operation[name].get<std::string>())
               : std::nullopt;
  };
  const auto op = text("op");
  const auto path = text("path");
  const auto from = text("from");
  if (!op || !path) return ApiError::bad_request("error decoding patch: an operation needs op and path");
  const auto parts = parse_pointer(*path);
  const auto from_parts = from ? parse_pointer(*from) : std::nullopt;
  if (!parts) return fail(fmt::format("{} operation does not apply: invalid path {}", *op, go_quote(*path)));
  const bool valued = *op == "add" || *op == "replace" || *op == "test";
  const Json value = operation.contains("value") ? operation["value"] : Json();
  if (*op == "add") return add(root, *parts, *path, value);
  if (*op == "remove") return remove(root, *parts, *path, "remove");
  Json* target = walk(root, *parts, parts->size());
  if (*op == "replace") {
    if (target != nullptr) {
      *target = value;
      return {};
    }
    // A member that is not there is added; an item that is not there is an error.
    Json* parent = parts->empty() ? nullptr : walk(root, *parts, parts->size() - 1);
    if (parent == nullptr || !parent->is_object())
      return fail(
          fmt::format("replace operation does not apply: doc is missing key: {}: missing value", *path));
    (*parent)[parts->back()] = value;
    return {};
  }
  if (*op == "test") {
    if ((target == nullptr && value.is_null()) || (target != nullptr && *target == value)) return {};
    return fail(fmt::format("testing value {} failed: test failed", *path));
  }
  if (valued || (*op != "move" && *op != "copy")) return fail(fmt::format("Unexpected kind: {}", *op));
  Json* source = from_parts ? walk(root, *from_parts, from_parts->size()) : nullptr;
  if (source == nullptr)
    return fail(fmt::format("{} operation does not apply: doc is missing from path: {}: missing value", *op,
                            from.value_or("")));
  if (*op == "move") {
    Json moved = std::move(*source);
    if (auto done = remove(root, *from_parts, *from, "move"); !done) return done;
    return add(root, *parts, *path, std::move(moved));
  }
  if (nested_too_deep(*source)) return fail("what is to be copied is nested too deep");
  copied += source->dump(-1, ' ', false, Json::error_handler_t::replace).size();
  if (copied > kCopiedBytesMax)
    return ApiError{413,
                    "RequestEntityTooLarge",
                    fmt::format("Unable to complete the copy, the accumulated size increase of copy is {}, "
                                "exceeding the limit {}",
                                copied, kCopiedBytesMax),
                    {}};
  return add(root, *parts, *path, *source);
}

}  // namespace

void merge_patch(Json& target, const Json& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) target = Json::object();
  for (const auto& [name, value] : patch.items()) {
    if (value.is_null())
      target.erase(name);
    else
      merge_patch(target[name], value);
  }
}

ApiStatus json_patch(Json& target, const Json& patch) {
  if (!patch.is_array())
    return ApiError::bad_request("error decoding patch: json: cannot unmarshal " +
                                 std::string(patch.type_name()) +
                                 " into Go value of type []handlers.jsonPatchOp");
  if (patch.size() > kOperationsMax)
    return ApiError{413,
                    "RequestEntityTooLarge",
                    fmt::format("The allowed maximum operations in a JSON patch is {}, got {}",
                                kOperationsMax, patch.size()),
                    {}};
  std::size_t copied = 0;
  for (const Json& operation : patch)
    if (auto done = apply_operation(target, operation, copied); !done) return done;
  // Many small steps can make what no body may be.
  if (nested_too_deep(target)) return ApiError::bad_request("error decoding patch: exceeded max depth");
  return {};
}

}  // namespace muster::local
