#pragma once  // local/api/rest.h: create, update, patch and delete with all their rules; reading is the
              // store's
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "local/api/api_error.h"
#include "local/api/formats.h"
#include "local/api/kind.h"
#include "local/api/object_store.h"

namespace muster::local {

enum class FieldValidation { kIgnore, kWarn, kStrict };

struct WriteOptions {
  std::string manager = "unknown";  // field manager
  FieldValidation validation = FieldValidation::kWarn;
  bool dry_run = false;
  bool force = false;       // apply: take fields from other managers
  bool from_apply = false;  // server-side apply: managedFields come with the object
  bool trusted = false;     // the node: may set what users cannot (pod status on creation, nodeName)
  std::string subresource;  // "", "status", "scale", ...
  std::vector<std::string>* warnings = nullptr;
};

struct DeleteOptions {
  std::optional<std::int64_t> grace_seconds;
  std::string propagation;  // "", Orphan, Background, Foreground
  std::string uid;          // preconditions
  std::string resource_version;
  bool dry_run = false;
};

struct Deletion {
  Json object;        // as it was, or as it lingers
  bool gone = false;  // removed from the store
};

// What a write changes besides the object: tables of kinds, default objects of a namespace.
class WriteHooks {
 public:
  virtual ~WriteHooks() = default;
  virtual void wrote(const Kind& kind, const Json& object, bool created) = 0;
  virtual void removed(const Kind& kind, const Json& object) = 0;
};

class Rest {  // thread-safe
 public:
  Rest(ObjectStore& store, Kinds& kinds) : store_(store), kinds_(kinds) {}
  void set_hooks(WriteHooks* hooks) { hooks_ = hooks; }

  [[nodiscard]] ApiResult<Json> get(const Kind& kind, std::string_view ns, std::string_view name) const;
  [[nodiscard]] ApiResult<Json> create(const Kind& kind, const std::string& ns, Json body,
                                       const WriteOptions& options);
  // `body` is the whole new object; its resourceVersion, if any, must be the stored one.
  [[nodiscard]] ApiResult<Json> replace(const Kind& kind, const std::string& ns, const std::string& name,
                                        Json body, const WriteOptions& options);
  // Reads, changes and writes until no other writer came between (unless `change` pins a resourceVersion).
  using Change = std::function<ApiResult<Json>(const Json& current)>;
  [[nodiscard]] ApiResult<Json> update(const Kind& kind, const std::string& ns, const std::string& name,
                                       const Change& change, const WriteOptions& options);
  // Server-side apply; creates the object if it is not there (`created`).
  [[nodiscard]] ApiResult<Json> apply(const Kind& kind, const std::string& ns, const std::string& name,
                                      Json body, const WriteOptions& options, bool& created);
  [[nodiscard]] ApiResult<Deletion> remove(const Kind& kind, const std::string& ns, const std::string& name,
                                           const DeleteOptions& options);

  [[nodiscard]] ObjectStore& store() { return store_; }
  [[nodiscard]] Kinds& kinds() { return kinds_; }

 private:
  // Checks apiVersion and kind, removes unknown fields (or refuses them), fills defaults in.
  [[nodiscard]] ApiStatus decode(const Kind& kind, Json& object, const WriteOptions& options) const;
  [[nodiscard]] ApiStatus check_namespace(const Kind& kind, const std::string& ns,
                                          const std::string& name) const;
  [[nodiscard]] ApiStatus validate(const Kind& kind, const Json& object, const Json* old,
                                   const WriteOptions& options) const;
  [[nodiscard]] ApiResult<Json> finish_update(const Kind& kind, const ObjectPtr& stored, const Json& old,
                                              Json object, const WriteOptions& options, bool& lost_race);
  [[nodiscard]] ApiResult<Json> store_new(const Kind& kind, Json object, const WriteOptions& options);
  [[nodiscard]] ApiStatus set_deletion(const Kind& kind, Json& object, const DeleteOptions& options,
                                       bool& remove_now) const;

  ObjectStore& store_;
  Kinds& kinds_;
  WriteHooks* hooks_ = nullptr;
};

}  // namespace muster::local
