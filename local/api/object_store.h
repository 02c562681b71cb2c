#pragma once  // local/api/object_store.h: every object of the control plane, in memory, with versions and a
              // history
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// One version of an object; never changes. Kept as compact JSON text (keys sorted), which is what
// clients get, so that an object costs its text and some 300 bytes.
struct StoredObject {
  std::string text;
  std::string ns;  // "" for cluster-scoped kinds
  std::string name;
  std::string uid;
  std::uint64_t version = 0;                                // metadata.resourceVersion
  std::vector<std::pair<std::string, std::string>> labels;  // sorted
  std::vector<std::string> owner_uids;

  [[nodiscard]] Json json() const { return Json::parse(text); }
};
using ObjectPtr = std::shared_ptr<const StoredObject>;

enum class ChangeType { kAdded, kModified, kDeleted };

struct Change {
  ChangeType type = ChangeType::kAdded;
  ObjectPtr object;    // kDeleted: the last state, with the version of the deletion
  ObjectPtr previous;  // null when added
};

struct ObjectList {
  std::vector<ObjectPtr> objects;  // by namespace, then name
  std::uint64_t version = 0;       // of the store as of this list
};

// Thread-safe. `resource` is "pods" for the core group, else "plural.group": "distributedjobs.muster.dev".
class ObjectStore {
 public:
  ObjectStore();
  ~ObjectStore();

  [[nodiscard]] ObjectPtr get(std::string_view resource, std::string_view ns, std::string_view name) const;
  // ns "" lists all namespaces.
  [[nodiscard]] ObjectList list(std::string_view resource, std::string_view ns = "") const;
  // The list as it was at `version`. kOutOfRange if changes after it were compacted away; kDeadlineExceeded
  // if it is in the future.
  [[nodiscard]] Result<ObjectList> list_at(std::string_view resource, std::string_view ns,
                                           std::uint64_t version) const;
  [[nodiscard]] std::uint64_t version() const;

  // Stores a new object; sets metadata.resourceVersion. kAlreadyExists.
  [[nodiscard]] Result<ObjectPtr> create(std::string_view resource, const Json& object);
  // Replaces the version `expected`. kNotFound; kAborted if another version is stored.
  [[nodiscard]] Result<ObjectPtr> replace(std::string_view resource, const Json& object,
                                          std::uint64_t expected);
  // Removes the version `expected` (0: whichever is there). kNotFound, kAborted. Returns the last state.
  [[nodiscard]] Result<ObjectPtr> remove(std::string_view resource, std::string_view ns,
                                         std::string_view name, std::uint64_t expected = 0);

  // The changes after version `since`, in order, without the ones that were compacted away.
  // A cursor is read by one thread at a time; it holds nothing back: if its reader is slower than the
  // history is long, next() says kOutOfRange ("too old resource version") and the reader lists again.
  class Cursor {
   public:
    ~Cursor();
    Cursor(const Cursor&) = delete;
    Cursor& operator=(const Cursor&) = delete;
    // Up to `limit` changes that are there now; none if there are none. kUnavailable once the store is
    // closed.
    [[nodiscard]] Result<std::vector<Change>> next(std::size_t limit = 64);
    // The same, waiting up to `wait` for the first one.
    [[nodiscard]] Result<std::vector<Change>> wait(std::chrono::milliseconds wait, std::size_t limit = 64);
    // Calls `wake` once, from the writer's thread, at the next change (at once if one is there). It must not
    // block.
    void on_change(std::function<void()> wake);
    // Version up to which everything has been returned.
    [[nodiscard]] std::uint64_t version() const;
    // Ends waits of this cursor for good.
    void close();

   private:
    friend class ObjectStore;
    struct State;
    explicit Cursor(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
  };
  // kOutOfRange if changes after `since` were compacted away or `since` is in the future.
  // "" watches all namespaces.
  [[nodiscard]] Result<std::unique_ptr<Cursor>> watch(std::string_view resource, std::string_view ns,
                                                      std::uint64_t since);
  // The resources of which an object was ever stored.
  [[nodiscard]] std::vector<std::string> resources() const;
  // `listener` hears of every change of every resource, under the store's lock: it must only take notes.
  using Listener = std::function<void(std::string_view resource, const Change& change)>;
  void listen(Listener listener);
  // Forgets the history up to now: watches that lag get kOutOfRange.
  void compact();
  // Wakes and ends every cursor; later watches fail with kUnavailable.
  void close();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // cursors may outlive the store
};

}  // namespace muster::local
