// local/api/field_set.cc: the trie itself
#include "local/api/field_set.h"

#include <fmt/format.h>

#include "common/json/read_json.h"

namespace muster::local {
namespace {

constexpr int kDepthMax = 128;

std::string step_text(const std::string& step) {
  const std::string rest = step.substr(std::min<std::size_t>(2, step.size()));
  if (step.rfind("f:", 0) == 0) return "." + rest;
  if (step.rfind("v:", 0) == 0) return "[=" + rest + "]";
  if (step.rfind("i:", 0) == 0) return "[" + rest + "]";
  const Json keys = read_json(rest);
  std::string text;
  if (keys.is_object())
    for (const auto& [name, value] : keys.items())
      text += (text.empty() ? "" : ",") + name + "=" + value.dump();
  return "[" + text + "]";
}

}  // namespace

bool FieldSet::empty() const {
  if (member) return false;
  for (const auto& [step, child] : children)
    if (!child.empty()) return false;
  return true;
}

void FieldSet::insert_all(const FieldSet& other) {
  member = member || other.member;
  for (const auto& [step, child] : other.children) children[step].insert_all(child);
}

void FieldSet::remove_all(const FieldSet& other) {
  if (other.member) member = false;
  for (auto it = children.begin(); it != children.end();) {
    const auto found = other.children.find(it->first);
    if (found != other.children.end()) it->second.remove_all(found->second);
    it = it->second.empty() ? children.erase(it) : std::next(it);
  }
}

FieldSet FieldSet::intersection(const FieldSet& other) const {
  FieldSet both;
  both.member = member && other.member;
  for (const auto& [step, child] : children) {
    const auto found = other.children.find(step);
    if (found == other.children.end()) continue;
    FieldSet common = child.intersection(found->second);
    if (!common.empty()) both.children[step] = std::move(common);
  }
  return both;
}

void FieldSet::paths(const std::string& prefix, const std::function<void(const std::string&)>& visit) const {
  for (const auto& [step, child] : children)
    if (child.member) visit(prefix + step_text(step));
  for (const auto& [step, child] : children) child.paths(prefix + step_text(step), visit);
}

FieldSet FieldSet::from_json(const Json& fields_v1, int depth) {
  FieldSet set;
  if (!fields_v1.is_object() || depth > kDepthMax) return set;
  for (const auto& [step, value] : fields_v1.items()) {
    if (step == ".") {
      set.member = true;
    } else {
      FieldSet child = from_json(value, depth + 1);
      if (child.children.empty()) child.member = true;
      set.children[step] = std::move(child);
    }
  }
  return set;
}

Json FieldSet::to_json() const {
  Json json = Json::object();
  for (const auto& [step, child] : children) {
    Json value = child.to_json();
    if (child.member && !child.children.empty()) value["."] = Json::object();
    json[step] = std::move(value);
  }
  return json;
}

}  // namespace muster::local
