#pragma once  // local/api/field_set.h: sets of paths into an object, as managedFields holds them (FieldsV1)
#include <functional>
#include <map>
#include <string>

#include "local/api/api_error.h"
#include "local/api/schema.h"

namespace muster::local {

// A trie. Steps are written as in FieldsV1: "f:name" a member, "k:{...}" an item of a list-map by its
// keys, "v:..." an item of a set by its value.
struct FieldSet {
  bool member = false;  // the path that leads here is in the set
  std::map<std::string, FieldSet> children;

  [[nodiscard]] bool empty() const;
  void insert_all(const FieldSet& other);  // union
  void remove_all(const FieldSet& other);  // difference
  [[nodiscard]] FieldSet intersection(const FieldSet& other) const;
  // Paths as conflicts show them: .spec.parts[name="wheel"].weight; members of a level before what is deeper.
  void paths(const std::string& prefix, const std::function<void(const std::string&)>& visit) const;

  [[nodiscard]] static FieldSet from_json(const Json& fields_v1, int depth = 0);
  [[nodiscard]] Json to_json() const;
  friend bool operator==(const FieldSet&, const FieldSet&) = default;
};

// How two states of an object differ.
struct Comparison {
  FieldSet added, modified, removed;
  [[nodiscard]] bool same() const { return added.empty() && modified.empty() && removed.empty(); }
};

// The fields that an applied configuration sets.
[[nodiscard]] FieldSet fields_of(const Json& object, const Schema& schema);
[[nodiscard]] Comparison compare_objects(const Json& before, const Json& after, const Schema& schema);
// `config` laid over `live`: list-maps by key, sets as unions, atomic values as a whole.
[[nodiscard]] Json merge_applied(const Json& live, const Json& config, const Schema& schema);
// Removes from `object` what `last` has and `kept` has not.
void remove_fields(Json& object, const Schema& schema, const FieldSet& last, const FieldSet& kept);
// The first path of `config` that the schema does not know (".spec.sise"), whose value is of another type, or
// a list item without its key; "" if none.
[[nodiscard]] std::string undeclared_field(const Json& config, const Schema& schema,
                                           const std::string& prefix = "");

}  // namespace muster::local
