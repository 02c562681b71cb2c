// local/api/strategic_patch.cc: strategic merge patches of built-in kinds
#include <fmt/format.h>

#include <algorithm>

#include "local/api/metadata.h"
#include "local/api/patch.h"

namespace muster::local {
namespace {

constexpr std::string_view kSetOrder = "$setElementOrder/";
constexpr std::string_view kDeletePrimitive = "$deleteFromPrimitiveList/";

ApiStatus merge_object(Json& target, const Json& patch, const Schema* schema);

void erase_values(Json& list, const Json& values) {
  Json kept = Json::array();
  for (const Json& each : list)
    if (std::find(values.begin(), values.end(), each) == values.end()) kept.push_back(each);
  list = std::move(kept);
}

// Items of the patch (or of $setElementOrder) come in its order; what only the server has goes before the
// item that it stood in front of.
Json in_order(const Json& merged, const Json& order, const Json& server, const std::string& key) {
  const auto id = [&](const Json& item) {
    return key.empty() ? item : item.is_object() ? item.value(key, Json()) : Json();
  };
  const auto position = [&](const Json& list, const Json& item) {
    for (std::size_t i = 0; i < list.size(); ++i)
      if (id(list[i]) == id(item)) return static_cast<std::ptrdiff_t>(i);
    return std::ptrdiff_t{-1};
  };
  std::vector<Json> wanted, others;
  for (const Json& item : merged) (position(order, item) >= 0 ? wanted : others).push_back(item);
  std::stable_sort(wanted.begin(), wanted.end(),
                   [&](const Json& a, const Json& b) { return position(order, a) < position(order, b); });
  Json sorted = Json::array();
  std::size_t w = 0, o = 0;
  while (w < wanted.size() || o < others.size()) {
    bool take_other = w >= wanted.size();
    if (!take_other && o < others.size()) {
      const auto other_at = position(server, others[o]), wanted_at = position(server, wanted[w]);
      take_other = other_at >= 0 && wanted_at >= 0 && other_at < wanted_at;
    }
    sorted.push_back(take_other ? std::move(others[o++]) : std::move(wanted[w++]));
  }
  return sorted;
}

ApiStatus merge_list(Json& target, const Json& patch, const Schema& schema) {
  const std::string& key = schema.patch_merge_key;
  if (!target.is_array()) target = Json::array();
  const Json server = target;
  if (key.empty()) {
    for (const Json& value : patch)
      if (std::find(target.begin(), target.end(), value) == target.end()) target.push_back(value);
    return {};
  }
  for (const Json& item : patch)
    if (item.is_object() && text_at(item, "$patch") == "replace") {
      target = Json::array();
      for (const Json& each : patch)
        if (!(each.is_object() && each.size() == 1 && each.contains("$patch"))) target.push_back(each);
      return {};
    }
  for (const Json& item : patch) {
    if (!item.is_object())
      return ApiError::bad_request("error applying patch: a list of objects is expected");
    if (!item.contains(key))
      return ApiError::bad_request(
          fmt::format("map: {} does not contain declared merge key: {}", item.dump(), key));
    const auto same = [&](const Json& other) {
      return other.is_object() && other.value(key, Json()) == item[key];
    };
    const auto it = std::find_if(target.begin(), target.end(), same);
    if (text_at(item, "$patch") == "delete") {
      if (it != target.end()) target.erase(it);
    } else if (it != target.end()) {
      if (auto done = merge_object(*it, item, schema.items.get()); !done) return done;
    } else {
      Json fresh = Json::object();
      if (auto done = merge_object(fresh, item, schema.items.get()); !done) return done;
      target.push_back(std::move(fresh));
    }
  }
  target = in_order(target, patch, server, key);
  return {};
}

ApiStatus merge_member(Json& target, const std::string& name, const Json& value, const Schema* type) {
  if (value.is_null()) {
    target.erase(name);
    return {};
  }
  if (value.is_object()) {
    Json& member = target[name];
    if (!member.is_object()) member = Json::object();
    return merge_object(member, value, type);
  }
  if (value.is_array() && type != nullptr && type->patch_merge) return merge_list(target[name], value, *type);
  target[name] = value;
  return {};
}

ApiStatus merge_object(Json& target, const Json& patch, const Schema* schema) {
  if (const std::string directive = text_at(patch, "$patch"); directive == "replace") {
    target = patch;
    target.erase("$patch");
    return {};
  } else if (directive == "delete") {
    target = Json::object();
    return {};
  } else if (!directive.empty() && directive != "merge") {
    return ApiError::bad_request("unknown patch type found: " + directive);
  }
  if (const Json& keys = array_of(patch, "$retainKeys"); !keys.empty()) {
    for (auto it = target.begin(); it != target.end();)
      it = std::find(keys.begin(), keys.end(), it.key()) == keys.end() ? target.erase(it) : std::next(it);
  }
  const Json server = target;
  for (const auto& [name, value] : patch.items()) {
    if (name == "$patch" || name == "$retainKeys" || name.rfind(kSetOrder, 0) == 0) continue;
    if (name.rfind(kDeletePrimitive, 0) == 0) {
      const std::string list = name.substr(kDeletePrimitive.size());
      if (target.contains(list) && value.is_array()) erase_values(target[list], value);
      continue;
    }
    if (auto done = merge_member(target, name, value, schema == nullptr ? nullptr : schema->property(name));
        !done)
      return done;
  }
  for (const auto& [name, order] : patch.items()) {
    if (name.rfind(kSetOrder, 0) != 0) continue;
    const std::string list = name.substr(kSetOrder.size());
    const Schema* type = schema == nullptr ? nullptr : schema->property(list);
    if (target.contains(list) && target[list].is_array() && order.is_array())
      target[list] = in_order(target[list], order, array_of(server, list.c_str()),
                              type == nullptr ? "" : type->patch_merge_key);
  }
  return {};
}

}  // namespace

ApiStatus strategic_merge_patch(Json& target, const Json& patch, const Schema& schema) {
  if (!patch.is_object()) return ApiError::bad_request("error decoding patch: a JSON object is expected");
  return merge_object(target, patch, &schema);
}

}  // namespace muster::local
