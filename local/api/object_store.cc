// local/api/object_store.cc: one ordered map and one bounded history of changes for each resource
#include "local/api/object_store.h"

#include <algorithm>
#include <deque>
#include <map>

#include "common/platform/shared_mutex.h"
#include "local/api/object_draft.h"

namespace muster::local {
namespace {

// A watch that lags by more changes of its resource lists again; so does one of the resource with most text.
constexpr std::size_t kHistoryChanges = 16384;
constexpr std::size_t kHistoryBytes = std::size_t{64} << 20;
constexpr std::size_t kChangeBytes = 400;  // of a change beside its text

std::string key_of(std::string_view ns, std::string_view name) {
  std::string key;
  key.reserve(ns.size() + name.size() + 1);
  key.append(ns).append("/").append(name);
  return key;
}

// Versions of a later run of the server are above those of every earlier one (as long as one run writes
// less than 1,000 times a second on average), so that a client of an earlier run is told to list again.
std::uint64_t first_version() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

struct Bucket {                                           // guarded by its store's mutex
  std::map<std::string, ObjectPtr, std::less<>> objects;  // by "namespace/name"
  std::deque<Change> history;                             // ascending versions
  std::size_t history_bytes = 0;
  std::uint64_t forgotten = 0;  // changes up to this version are no longer in the history
  std::vector<std::function<void()>> wakes;
  Condition changed;
};

struct ObjectStore::Impl {
  mutable SharedMutex mutex;
  const std::uint64_t start = first_version();
  std::uint64_t version MUSTER_GUARDED_BY(mutex) = start;
  std::map<std::string, std::unique_ptr<Bucket>, std::less<>> buckets
      MUSTER_GUARDED_BY(mutex);  // never removed
  std::size_t history_bytes MUSTER_GUARDED_BY(mutex) = 0;
  std::vector<Listener> listeners MUSTER_GUARDED_BY(mutex);
  bool closed MUSTER_GUARDED_BY(mutex) = false;

  Bucket& bucket(std::string_view resource) MUSTER_REQUIRES(mutex) {
    auto it = buckets.find(resource);
    if (it == buckets.end()) {
      it = buckets.emplace(std::string(resource), std::make_unique<Bucket>()).first;
      it->second->forgotten = start;
    }
    return *it->second;
  }

  const Bucket* find(std::string_view resource) const MUSTER_REQUIRES_SHARED(mutex) {
    const auto it = buckets.find(resource);
    return it == buckets.end() ? nullptr : it->second.get();
  }

  void forget_oldest(Bucket& bucket) MUSTER_REQUIRES(mutex) {
    const StoredObject& oldest = *bucket.history.front().object;
    bucket.forgotten = oldest.version;
    bucket.history_bytes -= oldest.text.size() + kChangeBytes;
    history_bytes -= oldest.text.size() + kChangeBytes;
    bucket.history.pop_front();
  }

  Bucket& longest_history() MUSTER_REQUIRES(mutex) {
    Bucket* longest = nullptr;
    for (const auto& [resource, bucket] : buckets)
      if (longest == nullptr || bucket->history_bytes > longest->history_bytes) longest = bucket.get();
    return *longest;
  }

  // Appends to the history; returns the callbacks to run after unlocking.
  std::vector<std::function<void()>> publish(std::string_view resource, Bucket& bucket, Change change)
      MUSTER_REQUIRES(mutex) {
    for (const Listener& listener : listeners) listener(resource, change);
    const std::size_t bytes = change.object->text.size() + kChangeBytes;
    bucket.history_bytes += bytes;
    history_bytes += bytes;
    bucket.history.push_back(std::move(change));
    while (bucket.history.size() > kHistoryChanges) forget_oldest(bucket);
    while (history_bytes > kHistoryBytes) forget_oldest(longest_history());
    bucket.changed.notify_all();
    return std::exchange(bucket.wakes, {});
  }
};

struct ObjectStore::Cursor::State {
  std::shared_ptr<Impl> store;
  Bucket* bucket = nullptr;  // lives as long as `store`
  std::string ns;
  std::uint64_t version = 0;
  bool closed MUSTER_GUARDED_BY(store->mutex) = false;

  Result<std::vector<Change>> take(std::size_t limit) MUSTER_REQUIRES_SHARED(store->mutex) {
    if (store->closed) return unavailable("the API server is stopping");
    if (version < bucket->forgotten)
      return Error{Code::kOutOfRange, "too old resource version: " + std::to_string(version) + " (" +
                                          std::to_string(bucket->forgotten + 1) + ")"};
    const auto after = [](std::uint64_t value, const Change& change) {
      return value < change.object->version;
    };
    auto it = std::upper_bound(bucket->history.begin(), bucket->history.end(), version, after);
    std::vector<Change> changes;
    for (; it != bucket->history.end() && changes.size() < limit; ++it) {
      version = it->object->version;
      if (ns.empty() || it->object->ns == ns) changes.push_back(*it);
    }
    if (it == bucket->history.end()) version = std::max(version, store->version);
    return changes;
  }

  bool pending() const MUSTER_REQUIRES_SHARED(store->mutex) {
    return !bucket->history.empty() && bucket->history.back().object->version > version;
  }
};

ObjectStore::ObjectStore() : impl_(std::make_shared<Impl>()) {}
ObjectStore::~ObjectStore() { close(); }

ObjectPtr ObjectStore::get(std::string_view resource, std::string_view ns, std::string_view name) const {
  const ReadLock lock(impl_->mutex);
  const Bucket* bucket = impl_->find(resource);
  if (bucket == nullptr) return nullptr;
  const auto it = bucket->objects.find(key_of(ns, name));
  return it == bucket->objects.end() ? nullptr : it->second;
}

ObjectList ObjectStore::list(std::string_view resource, std::string_view ns) const {
  const ReadLock lock(impl_->mutex);
  ObjectList list{{}, impl_->version};
  const Bucket* bucket = impl_->find(resource);
  if (bucket == nullptr) return list;
  if (ns.empty()) {
    list.objects.reserve(bucket->objects.size());
    for (const auto& [key, object] : bucket->objects) list.objects.push_back(object);
    return list;
  }
  const std::string prefix = key_of(ns, "");
  for (auto it = bucket->objects.lower_bound(prefix);
       it != bucket->objects.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it)
    list.objects.push_back(it->second);
  return list;
}

Result<ObjectList> ObjectStore::list_at(std::string_view resource, std::string_view ns,
                                        std::uint64_t version) const {
  const ReadLock lock(impl_->mutex);
  if (version > impl_->version)
    return deadline_exceeded("Too large resource version: " + std::to_string(version) +
                             ", current: " + std::to_string(impl_->version));
  const Bucket* bucket = impl_->find(resource);
  if (version < (bucket == nullptr ? impl_->start : bucket->forgotten))
    return Error{Code::kOutOfRange, "too old resource version: " + std::to_string(version)};
  ObjectList list{{}, version};
  if (bucket == nullptr) return list;
  // What is there now, with the later changes undone from the last to the first.
  std::map<std::string, ObjectPtr, std::less<>> undone;  // null: was not there
  for (auto it = bucket->history.rbegin(); it != bucket->history.rend() && it->object->version > version;
       ++it)
    if (ns.empty() || it->object->ns == ns) undone[key_of(it->object->ns, it->object->name)] = it->previous;
  const std::string prefix = ns.empty() ? std::string() : key_of(ns, "");
  auto then = undone.begin();
  for (auto now = bucket->objects.lower_bound(prefix);
       now != bucket->objects.end() && now->first.compare(0, prefix.size(), prefix) == 0; ++now) {
    for (; then != undone.end() && then->first < now->first; ++then)
      if (then->second) list.objects.push_back(then->second);
    const bool changed = then != undone.end() && then->first == now->first;
    if (!changed) list.objects.push_back(now->second);
    if (changed && then->second) list.objects.push_back(then->second);
    if (changed) ++then;
  }
  for (; then != undone.end(); ++then)
    if (then->second) list.objects.push_back(then->second);
  return list;
}

std::uint64_t ObjectStore::version() const {
  const ReadLock lock(impl_->mutex);
  return impl_->version;
}

Result<ObjectPtr> ObjectStore::create(std::string_view resource, const Json& object) {
  std::vector<std::function<void()>> wakes;
  Draft draft = make_draft(object);
  ObjectPtr created;
  {
    std::string key = key_of(draft.object->ns, draft.object->name);
    const WriteLock lock(impl_->mutex);
    Bucket& bucket = impl_->bucket(resource);
    const auto at = bucket.objects.lower_bound(key);
    if (at != bucket.objects.end() && at->first == key) return already_exists(key + " already exists");
    created = draft.finish(++impl_->version);
    bucket.objects.emplace_hint(at, std::move(key), created);
    wakes = impl_->publish(resource, bucket, Change{ChangeType::kAdded, created, nullptr});
  }
  for (const auto& wake : wakes) wake();
  return created;
}

Result<ObjectPtr> ObjectStore::replace(std::string_view resource, const Json& object,
                                       std::uint64_t expected) {
  std::vector<std::function<void()>> wakes;
  Draft draft = make_draft(object);
  ObjectPtr replaced;
  {
    const std::string key = key_of(draft.object->ns, draft.object->name);
    const WriteLock lock(impl_->mutex);
    Bucket& bucket = impl_->bucket(resource);
    const auto at = bucket.objects.find(key);
    if (at == bucket.objects.end()) return not_found(key + " not found");
    if (at->second->version != expected) return aborted(key + " has been modified");
    replaced = draft.finish(++impl_->version);
    ObjectPtr previous = std::exchange(at->second, replaced);
    wakes = impl_->publish(resource, bucket, Change{ChangeType::kModified, replaced, std::move(previous)});
  }
  for (const auto& wake : wakes) wake();
  return replaced;
}

Result<ObjectPtr> ObjectStore::remove(std::string_view resource, std::string_view ns, std::string_view name,
                                      std::uint64_t expected) {
  std::vector<std::function<void()>> wakes;
  ObjectPtr removed;
  {
    const WriteLock lock(impl_->mutex);
    Bucket& bucket = impl_->bucket(resource);
    const std::string key = key_of(ns, name);
    const auto at = bucket.objects.find(key);
    if (at == bucket.objects.end()) return not_found(key + " not found");
    if (expected != 0 && at->second->version != expected) return aborted(key + " has been modified");
    ObjectPtr previous = at->second;
    bucket.objects.erase(at);
    removed = make_draft(previous->json()).finish(++impl_->version);
    wakes = impl_->publish(resource, bucket, Change{ChangeType::kDeleted, removed, std::move(previous)});
  }
  for (const auto& wake : wakes) wake();
  return removed;
}

Result<std::unique_ptr<ObjectStore::Cursor>> ObjectStore::watch(std::string_view resource,
                                                                std::string_view ns, std::uint64_t since) {
  const WriteLock lock(impl_->mutex);
  if (impl_->closed) return unavailable("the API server is stopping");
  Bucket& bucket = impl_->bucket(resource);
  if (since < bucket.forgotten)
    return Error{Code::kOutOfRange, "too old resource version: " + std::to_string(since) + " (" +
                                        std::to_string(bucket.forgotten + 1) + ")"};
  if (since > impl_->version)
    return deadline_exceeded("Too large resource version: " + std::to_string(since) +
                             ", current: " + std::to_string(impl_->version));
  auto state = std::make_shared<Cursor::State>();
  state->store = impl_;
  state->bucket = &bucket;
  state->ns = std::string(ns);
  state->version = since;
  return std::unique_ptr<Cursor>(new Cursor(std::move(state)));
}

std::vector<std::string> ObjectStore::resources() const {
  const ReadLock lock(impl_->mutex);
  std::vector<std::string> names;
  for (const auto& [name, bucket] : impl_->buckets) names.push_back(name);
  return names;
}

void ObjectStore::listen(Listener listener) {
  const WriteLock lock(impl_->mutex);
  impl_->listeners.push_back(std::move(listener));
}

void ObjectStore::compact() {
  const WriteLock lock(impl_->mutex);
  for (auto& [name, bucket] : impl_->buckets) {
    bucket->history.clear();
    bucket->history_bytes = 0;
    bucket->forgotten = impl_->version;
  }
  impl_->history_bytes = 0;
}

void ObjectStore::close() {
  std::vector<std::function<void()>> wakes;
  {
    const WriteLock lock(impl_->mutex);
    impl_->closed = true;
    impl_->listeners.clear();
    for (auto& [name, bucket] : impl_->buckets) {
      for (auto& wake : std::exchange(bucket->wakes, {})) wakes.push_back(std::move(wake));
      bucket->changed.notify_all();
    }
  }
  for (const auto& wake : wakes) wake();
}

ObjectStore::Cursor::Cursor(std::shared_ptr<State> state) : state_(std::move(state)) {}
ObjectStore::Cursor::~Cursor() { close(); }

Result<std::vector<Change>> ObjectStore::Cursor::next(std::size_t limit) {
  ReadLock lock(state_->store->mutex);
  return state_->take(limit);
}

Result<std::vector<Change>> ObjectStore::Cursor::wait(std::chrono::milliseconds wait, std::size_t limit) {
  ReadLock lock(state_->store->mutex);
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (true) {
    auto changes = state_->take(limit);
    if (!changes || !changes->empty() || state_->closed || state_->store->closed) return changes;
    if (state_->bucket->changed.wait_until(lock, deadline) == std::cv_status::timeout)
      return state_->take(limit);
  }
}

void ObjectStore::Cursor::on_change(std::function<void()> wake) {
  {
    const WriteLock lock(state_->store->mutex);
    if (!state_->pending() && !state_->closed && !state_->store->closed) {
      state_->bucket->wakes.push_back(std::move(wake));
      return;
    }
  }
  wake();
}

std::uint64_t ObjectStore::Cursor::version() const {
  ReadLock lock(state_->store->mutex);
  return state_->version;
}

void ObjectStore::Cursor::close() {
  const WriteLock lock(state_->store->mutex);
  state_->closed = true;
  state_->bucket->changed.notify_all();
}

}  // namespace muster::local
