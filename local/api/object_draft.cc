// local/api/object_draft.cc: the text of an object, with room for its version
#include "local/api/object_draft.h"

#include "common/base/check.h"

namespace muster::local {
namespace {

const std::string& text_member(const Json& object, const char* name) {
  static const std::string kNone;
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get_ref<const std::string&>() : kNone;
}

// Of milliseconds since 1970, until the year 2286.
constexpr std::size_t kVersionDigits = 13;

void append_member(std::string& text, const std::string& name, const Json& value) {
  if (text.back() != '{') text += ',';
  text += Json(name).dump(-1, ' ', false, Json::error_handler_t::replace) + ':';
  text += value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// `metadata` as text, with room for the digits of its version among the sorted members; returns where they
// are.
std::size_t append_metadata(std::string& text, const Json& metadata) {
  const std::string version = "resourceVersion";
  std::size_t version_at = 0;
  const auto append_version = [&] {
    append_member(text, version, std::string(kVersionDigits, '0'));
    version_at = text.size() - kVersionDigits - 1;
  };
  text += '{';
  for (const auto& [name, value] : metadata.items()) {
    if (version_at == 0 && name >= version) append_version();
    if (name != version) append_member(text, name, value);
  }
  if (version_at == 0) append_version();
  text += '}';
  return version_at;
}

// `json` as text, as append_metadata() says.
std::size_t write_text(const Json& json, std::string& text) {
  std::size_t version_at = 0;
  text += '{';
  for (const auto& [name, value] : json.items()) {
    if (name != "metadata") {
      append_member(text, name, value);
    } else {
      text += text.back() == '{' ? "\"metadata\":" : ",\"metadata\":";
      version_at = append_metadata(text, value);
    }
  }
  text += '}';
  return version_at;
}

}  // namespace

ObjectPtr Draft::finish(std::uint64_t version) {
  const std::string digits = std::to_string(version);
  MUSTER_CHECK(digits.size() == kVersionDigits);
  object->version = version;
  object->text.replace(version_at, kVersionDigits, digits);
  return object;
}

Draft make_draft(const Json& json) {
  Draft draft;
  StoredObject* object = draft.object.get();
  const Json& metadata = json.at("metadata");
  object->ns = text_member(metadata, "namespace");
  object->name = text_member(metadata, "name");
  object->uid = text_member(metadata, "uid");
  if (const auto labels = metadata.find("labels"); labels != metadata.end() && labels->is_object()) {
    object->labels.reserve(labels->size());
    for (const auto& [label, value] : labels->items())
      if (value.is_string()) object->labels.emplace_back(label, value.get<std::string>());
  }
  if (const auto owners = metadata.find("ownerReferences"); owners != metadata.end() && owners->is_array()) {
    for (const Json& owner : *owners)
      if (owner.is_object()) object->owner_uids.push_back(text_member(owner, "uid"));
  }
  draft.version_at = write_text(json, object->text);
  object->text.shrink_to_fit();
  return draft;
}

}  // namespace muster::local
