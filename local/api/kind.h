#pragma once  // local/api/kind.h: what the server knows of a kind: names, scope, verbs, schema; and all kinds
              // at a time
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/platform/mutex.h"
#include "local/api/schema.h"

namespace muster::local {

struct ScalePaths {  // ".spec.replicas"
  std::string spec_replicas, status_replicas, label_selector;
};

struct PrinterColumn {
  std::string name, type, format, description, json_path;
  int priority = 0;
};

struct Kind {         // one version of one kind; never changes once it is in a table
  std::string group;  // "" for core
  std::string version;
  std::string kind;
  std::string list_kind;
  std::string plural;
  std::string singular;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  std::vector<std::string> verbs;
  bool namespaced = true;
  bool custom = false;          // from a CRD
  bool has_status = false;      // status is a subresource
  bool has_generation = false;  // metadata.generation counts changes of the spec
  bool create_only = false;     // reviews: answered, never stored
  std::optional<ScalePaths> scale;
  std::vector<std::string> selectable_fields;  // ".spec.color"
  std::vector<PrinterColumn> columns;
  SchemaPtr schema;          // of the whole object; never null
  std::string crd;           // name of the CRD it came from
  bool terminating = false;  // the CRD is being deleted: nothing can be created
  bool restated = false;     // its definition changed: what is stored may lack defaults, or hold what is gone
  std::string stored_as;     // the resource whose objects these are, in another form: "events"
  Json openapi;              // CRD: openAPIV3Schema as written

  [[nodiscard]] std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  [[nodiscard]] std::string resource() const { return group.empty() ? plural : plural + "." + group; }
  [[nodiscard]] std::string storage() const { return stored_as.empty() ? resource() : stored_as; }
  [[nodiscard]] std::string group_kind() const { return group.empty() ? kind : kind + "." + group; }
};
using KindPtr = std::shared_ptr<const Kind>;

// What is stored, as a reader of this version gets it.
void serve_as(const Kind& kind, Json& object);

// All kinds at one moment, in the order of discovery.
class KindTable {
 public:
  explicit KindTable(std::vector<KindPtr> kinds);
  [[nodiscard]] const std::vector<KindPtr>& kinds() const { return kinds_; }
  [[nodiscard]] KindPtr find(std::string_view group, std::string_view version, std::string_view plural) const;
  [[nodiscard]] KindPtr find_kind(std::string_view api_version, std::string_view kind) const;
  [[nodiscard]] KindPtr preferred(std::string_view resource) const;  // "pods", "widgets.parity.muster.dev"
  [[nodiscard]] bool has_group_version(std::string_view group, std::string_view version) const;

  struct GroupVersion {
    std::string group, version;
  };
  // In discovery order, core first.
  [[nodiscard]] std::vector<GroupVersion> group_versions() const;

 private:
  std::vector<KindPtr> kinds_;
};

// The table of now; replaced as a whole when a CRD changes. Thread-safe.
class Kinds {
 public:
  Kinds();
  [[nodiscard]] std::shared_ptr<const KindTable> table() const;
  void set_custom(const std::string& crd, std::vector<KindPtr> kinds);  // empty: removes them
  [[nodiscard]] std::uint64_t generation() const;                       // counts the changes

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::vector<KindPtr>> custom_ MUSTER_GUARDED_BY(mutex_);
  std::shared_ptr<const KindTable> table_ MUSTER_GUARDED_BY(mutex_);
  std::uint64_t generation_ MUSTER_GUARDED_BY(mutex_) = 0;
};

// Built-in kinds, in the order in which a real server lists them.
[[nodiscard]] const std::vector<KindPtr>& builtin_kinds();

}  // namespace muster::local
