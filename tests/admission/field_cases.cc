// tests/admission/field_cases.cc: what may be wrong with one field, made from the schema
#include "tests/admission/field_cases.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "tests/admission/admission.h"

namespace muster::admission {
namespace {

struct Place {  // of one field in one sample
  const Sample* sample;
  Json schema;
  std::string path;  // "spec.runPolicy.failurePolicy.rules[0].action"
  Json::json_pointer at;
  bool required = false;
  bool in_list = false;  // an element
};
using Places = std::map<std::string, Place>;  // by the path without indices: one for each field of the schema

void names_of(const Json& schema, const std::string& path, std::set<std::string>& out) {
  out.insert(path);
  if (schema.contains("items")) names_of(schema["items"], fmt::format("{}[]", path), out);
  if (schema.contains("properties"))
    for (const auto& [name, inner] : schema["properties"].items())
      names_of(inner, fmt::format("{}.{}", path, name), out);
}

void find_places(const Json& value, const Place& here, const std::string& name, Places& out) {
  out.try_emplace(name, here);
  if (value.is_array() && here.schema.contains("items"))
    for (std::size_t i = 0; i < value.size(); ++i)
      find_places(value[i],
                  {.sample = here.sample,
                   .schema = here.schema["items"],
                   .path = fmt::format("{}[{}]", here.path, i),
                   .at = here.at / i,
                   .in_list = true},
                  name + "[]", out);
  if (!value.is_object() || !here.schema.contains("properties")) return;
  const Json required = here.schema.value("required", Json::array());
  for (const auto& [field, inner] : here.schema["properties"].items())
    if (value.contains(field))
      find_places(value[field],
                  {.sample = here.sample,
                   .schema = inner,
                   .path = fmt::format("{}.{}", here.path, field),
                   .at = here.at / field,
                   .required = std::find(required.begin(), required.end(), field) != required.end()},
                  fmt::format("{}.{}", name, field), out);
}

class Maker {
 public:
  Maker(const Place& place, std::vector<FieldCase>& out) : place_(place), out_(out) {}

  void make() {
    types();
    absence();
    bounds();
    texts();
    lists();
    if (place_.schema.contains("properties")) {
      Json object = place_.sample->object;
      object[place_.at]["frobnicate"] = 1;
      add("with a field that is unknown", std::move(object), place_.path + ".frobnicate", {"unknown field"},
          true);
    }
  }

 private:
  FieldCase& add(const std::string& how, Json object, std::string path, std::vector<std::string> words,
                 bool by_reader) {
    out_.push_back({.what = fmt::format("{}: {} {}", place_.sample->file, place_.path, how),
                    .file = place_.sample->file,
                    .path = std::move(path),
                    .object = std::move(object),
                    .words = std::move(words),
                    .by_reader = by_reader});
    return out_.back();
  }
  FieldCase& set(const std::string& how, Json value, std::vector<std::string> words, bool by_reader) {
    Json object = place_.sample->object;
    object[place_.at] = std::move(value);
    return add(how, std::move(object), place_.path, std::move(words), by_reader);
  }

  void types() {
    const std::string wanted = place_.schema["type"];
    const std::pair<const char*, Json> values[] = {{"object", Json::object()},
                                                   {"array", Json::array({1})},
                                                   {"string", "word"},
                                                   {"integer", 7},
                                                   {"number", 1.5},
                                                   {"boolean", true}};
    for (const auto& [type, value] : values)
      if (type != wanted && !(wanted == "number" && type == std::string("integer")))
        set(fmt::format("of type {}", type), value, {"must be of type " + wanted}, true);
    if (wanted != "integer") return;
    const Json usual = place_.sample->object[place_.at];
    set("with a point", usual.get<double>(), {}, false).expect = FieldCase::Expect::kFits;
  }

  void absence() {
    Json without = place_.sample->object;
    if (!place_.in_list) without[place_.at.parent_pointer()].erase(place_.at.back());
    if (place_.in_list) {
      set("null", nullptr, {"must be of type"}, true);
    } else if (place_.required) {
      add("missing", without, place_.path, {"Required value"}, true);
      set("null", nullptr, {"Required value"}, true);
    } else {
      FieldCase& like = set("null", nullptr, {}, false);
      like.expect = FieldCase::Expect::kAsAbsent;
      like.absent = std::move(without);
    }
  }

  void bounds() {
    for (const bool low : {true, false}) {
      const char* keyword = low ? "minimum" : "maximum";
      if (!place_.schema.contains(keyword)) continue;
      const Json bound = place_.schema[keyword];
      set(fmt::format("at its {}", keyword), bound, {}, false).expect = FieldCase::Expect::kFits;
      Json past = bound.get<double>() + (low ? -1 : 1) * std::max(1e-13, std::abs(bound.get<double>()) / 1e6);
      if (place_.schema["type"] == "integer") past = bound.get<std::int64_t>() + (low ? -1 : 1);
      const std::string word =
          low ? "should be greater than or equal to " : "should be less than or equal to ";
      set(fmt::format("past its {}", keyword), past, {word}, true);
      set(fmt::format("far past its {}", keyword), low ? -1e300 : 1e300, {word}, true);
      // A server compares a whole number with the whole part of the bound.
      if (low && bound > 0 && bound < 1) set("a whole 0", 0, {"must be at least"}, true);
    }
    if (place_.schema["type"] != "integer" || place_.schema.contains("maximum")) return;
    for (const char* huge : {"9223372036854775808", "18446744073709551616", "1e300"})
      set(fmt::format("of {}", huge), Json::parse(huge), {"must be of type integer"}, true);
    set("of 2^63 - 1", std::numeric_limits<std::int64_t>::max(), {}, false).expect = FieldCase::Expect::kFits;
  }

  void texts() {
    if (place_.schema["type"] != "string") return;
    if (place_.schema.contains("enum")) {
      std::vector<std::string> allowed;
      for (const Json& value : place_.schema["enum"])
        allowed.push_back("\"" + value.get<std::string>() + "\"");
      set("not among its values", "Frobnicate", allowed, true);
    }
    if (place_.schema.contains("maxLength")) {
      const auto most = place_.schema["maxLength"].get<std::size_t>();
      set("too long", std::string(most + 1, 'a'), {fmt::format("may not be more than {} bytes", most)},
          false);
    }
    if (place_.schema.contains("minLength")) set("empty", "", {"should be at least"}, false);
    if (place_.schema.contains("pattern")) {
      const std::string pattern = place_.schema["pattern"];
      for (const char* text : {"no match", "-._", "x y/z "})
        if (!std::regex_search(text, std::regex(pattern)))
          set(fmt::format("'{}'", text), text, {pattern}, true);
    }
    if (place_.schema.value("format", "") == "date-time")
      set("no time", "yesterday", {"must be of type date-time"}, false);
  }

  void lists() {
    if (place_.schema["type"] != "array") return;
    const Json item = place_.sample->object[place_.at][0];
    if (const auto most = place_.schema.value("maxItems", 0); most > 0)
      set("too long", Json(std::vector<Json>(static_cast<std::size_t>(most) + 1, item)),
          {fmt::format("must have at most {} items", most)}, false);
    if (place_.schema.contains("minItems")) set("empty", Json::array(), {"should have at least"}, false);
    const std::string type = place_.schema.value("x-kubernetes-list-type", "");
    if (type == "set" || type == "map") {
      FieldCase& twice = set("with an item twice", Json::array({item, item}), {"Duplicate value"}, false);
      twice.path += "[1]";
    }
  }

  const Place& place_;
  std::vector<FieldCase>& out_;
};

}  // namespace

std::vector<FieldCase> field_cases(const std::string& kind, const std::string& part) {
  const Json& schema = schema_of(kind)["properties"][part];
  Places places;
  for (const Sample& each : samples())
    if (each.object["kind"] == kind && each.object.contains(part))
      find_places(each.object[part],
                  {.sample = &each,
                   .schema = schema,
                   .path = part,
                   .at = Json::json_pointer("/" + part),
                   .required = part == "spec"},
                  part, places);
  std::set<std::string> names;
  names_of(schema, part, names);
  for (const std::string& name : names)
    EXPECT_TRUE(places.contains(name)) << "no sample of a " << kind << " has " << name
                                       << ": write it into a file of tests/admission/samples";
  std::vector<FieldCase> cases;
  for (const auto& [name, place] : places) Maker(place, cases).make();
  return cases;
}

}  // namespace muster::admission
