// kube/informer.cc: the thread which performs a Watcher's effects and keeps the store
#include "kube/informer.h"

#include <algorithm>
#include <utility>

#include "common/json/access.h"

namespace muster::kube {
namespace {

constexpr std::size_t kGravesMax = 256;  // writes in flight are far fewer

// A store with an index holds children: most of all objects, which a pass reads by their owner, a few at a
// time. It keeps them packed, as CBOR: a seventh of their Json's memory, and about 20 us until it is read.
// JSON has no binary values, so what is one is packed.
Json pack(const Json& object) {
  std::vector<std::uint8_t> bytes;
  Json::to_cbor(object, bytes);
  bytes.shrink_to_fit();
  return Json::binary(std::move(bytes));
}

Object unpack(const Object& kept) {
  if (kept == nullptr || !kept->is_binary()) return kept;
  return std::make_shared<const Json>(Json::from_cbor(kept->get_binary()));
}

}  // namespace

std::string object_key(const Json& object) {
  const std::string ns = meta_text(object, "namespace");
  const std::string name = meta_text(object, "name");
  return ns.empty() ? name : ns + "/" + name;
}

bool newer_version(const std::string& a, const std::string& b) {
  const auto decimal = [](const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (!decimal(a) || !decimal(b)) return false;
  if (a.size() != b.size()) return a.size() > b.size();  // the API server writes no leading zeros
  return a > b;
}

Object Store::get(const std::string& key) const {
  Object kept;
  {
    const MutexLock lock(mutex_);
    const auto found = objects_.find(key);
    if (found != objects_.end()) kept = found->second;
  }
  return unpack(kept);
}

std::vector<Object> Store::list() const {
  std::vector<Object> all;
  {
    const MutexLock lock(mutex_);
    all.reserve(objects_.size());
    for (const auto& [key, object] : objects_) all.push_back(object);
  }
  for (Object& object : all) object = unpack(object);
  return all;
}

std::vector<Object> Store::by_index(const std::string& value) const {
  std::vector<Object> found;
  {
    const MutexLock lock(mutex_);
    const auto [from, to] = indexed_.equal_range(value);
    for (auto it = from; it != to; ++it) found.push_back(it->second);
  }
  for (Object& object : found) object = unpack(object);
  return found;
}

std::size_t Store::size() const {
  const MutexLock lock(mutex_);
  return objects_.size();
}

void Store::drop_from_index(const Object& kept, const Json& object) {
  if (!index_) return;
  const auto [from, to] = indexed_.equal_range(index_(object));
  for (auto it = from; it != to; ++it) {
    if (it->second == kept) {
      indexed_.erase(it);
      return;
    }
  }
}

bool Store::upsert(Object object) {
  const MutexLock lock(mutex_);
  const std::string uid = meta_text(*object, "uid");
  const bool buried = std::any_of(graves_.begin(), graves_.end(), [&](const auto& grave) {
    return grave.first == uid && !newer_version(meta_text(*object, "resourceVersion"), grave.second);
  });
  if (buried) return false;  // the answer to a write that came after the watch had told of the deletion
  const std::string version = meta_text(*object, "resourceVersion");
  const auto [found, absent] = objects_.try_emplace(object_key(*object));
  Object& slot = found->second;
  const bool listed =
      !listed_version_.empty() && (version == listed_version_ || newer_version(listed_version_, version));
  if (absent && listed) {
    // The list would have had it, so it is gone, and no watch from that list on will tell.
    objects_.erase(found);
    return false;
  }
  if (!absent) {
    // Also when it is another object of this name: a watch that is late tells of the one before.
    const Object before = unpack(slot);
    if (newer_version(meta_text(*before, "resourceVersion"), version)) return false;
    drop_from_index(slot, *before);
  }
  slot = index_ ? std::make_shared<const Json>(pack(*object)) : object;
  if (index_) indexed_.emplace(index_(*object), slot);
  return true;
}

void Store::erase(const Json& deleted) {
  const MutexLock lock(mutex_);
  graves_.emplace_back(meta_text(deleted, "uid"), meta_text(deleted, "resourceVersion"));
  if (graves_.size() > kGravesMax) graves_.pop_front();
  const auto found = objects_.find(object_key(deleted));
  if (found == objects_.end()) return;
  const Object object = unpack(found->second);
  if (meta_text(*object, "uid") != meta_text(deleted, "uid")) return;  // made anew meanwhile
  drop_from_index(found->second, *object);
  objects_.erase(found);
}

void Store::put(const std::string& key, Object kept, const Json& object) {
  if (index_) indexed_.emplace(index_(object), kept);
  objects_[key] = std::move(kept);
}

std::vector<Object> Store::replace(std::vector<Object> objects, const std::string& version) {
  const MutexLock lock(mutex_);
  listed_version_ = version;
  auto old = std::exchange(objects_, {});
  indexed_.clear();
  for (Object& listed : objects) {
    const Object object = unpack(listed);
    const std::string key = object_key(*object);
    const auto known = old.find(key);
    const Object before = known == old.end() ? nullptr : unpack(known->second);
    if (before != nullptr &&
        newer_version(meta_text(*before, "resourceVersion"), meta_text(*object, "resourceVersion"))) {
      put(key, known->second, *before);
    } else {
      put(key, std::move(listed), *object);
    }
    if (before != nullptr) old.erase(known);
  }
  std::vector<Object> gone;
  for (auto& [key, kept] : old) {
    Object object = unpack(kept);
    if (newer_version(meta_text(*object, "resourceVersion"), version)) {
      put(key, std::move(kept), *object);  // made after the list; if it is gone again, the watch will tell
    } else {
      gone.push_back(std::move(object));
    }
  }
  return gone;
}

Informer::Informer(Client& client, Resource resource, Options options)
    : client_(client),
      resource_(std::move(resource)),
      options_(std::move(options)),
      store_(options_.index),
      watcher_(options_.watcher) {}

Informer::~Informer() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Informer::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

bool Informer::wait_synced(Deadline deadline) {
  MutexLock lock(mutex_);
  return wake_.wait_until(lock, deadline, [this] { return synced_.load(); });
}

void Informer::changed(const Object& object, bool deleted) {
  if (options_.on_change) options_.on_change(object, deleted);
}

void Informer::observe_write(Json object) {
  if (options_.project) options_.project(object);
  store_.upsert(std::make_shared<const Json>(std::move(object)));
}

void Informer::run(const std::stop_token& stop) {
  std::vector<WatcherEffect> effects = watcher_.start();
  while (!stop.stop_requested()) {
    std::vector<WatcherEffect> next;
    for (WatcherEffect& effect : effects) {
      if (const auto* list = std::get_if<ListNext>(&effect)) {
        next = perform(*list, stop);
      } else if (const auto* watch = std::get_if<WatchNext>(&effect)) {
        next = perform(*watch, stop);
      } else if (const auto* wait = std::get_if<WaitFor>(&effect)) {
        MutexLock lock(mutex_);
        wake_.wait_for(lock, stop, wait->delay, [] { return false; });
        next = watcher_.step(WaitOver{}, std::chrono::steady_clock::now());
      } else {
        apply(std::move(effect));
      }
    }
    effects = std::move(next);
  }
}

void Informer::apply(WatcherEffect&& effect) {
  if (auto* replace = std::get_if<Replace>(&effect)) {
    std::vector<Object> objects;
    objects.reserve(replace->objects.size());
    for (Json& object : replace->objects) objects.push_back(std::make_shared<const Json>(std::move(object)));
    const std::vector<Object> gone = store_.replace(objects, replace->resource_version);
    {
      const MutexLock lock(mutex_);
      synced_ = true;
    }
    wake_.notify_all();
    for (const Object& object : gone) changed(object, true);
    for (const Object& object : objects) changed(unpack(object), false);
  } else if (auto* upsert = std::get_if<Upsert>(&effect)) {
    auto object = std::make_shared<const Json>(std::move(upsert->object));
    if (store_.upsert(object)) changed(object, false);
  } else if (auto* remove = std::get_if<Remove>(&effect)) {
    store_.erase(remove->object);
    changed(std::make_shared<const Json>(std::move(remove->object)), true);
  } else if (const auto* problem = std::get_if<Problem>(&effect)) {
    if (options_.on_problem) options_.on_problem(resource_.plural + ": " + problem->error.message);
    if (options_.on_error) options_.on_error(problem->error);
  }
}

std::vector<WatcherEffect> Informer::perform(const ListNext& next, const std::stop_token&) {
  auto page = client_.list(resource_, options_.ns,
                           {.label_selector = options_.label_selector,
                            .field_selector = {},
                            .resource_version = next.resource_version,
                            .continue_token = next.continue_token,
                            .limit = options_.page_size});
  const auto now = std::chrono::steady_clock::now();
  if (!page) return watcher_.step(ListFailed{page.error()}, now);
  for (Json& item : page->items) {
    if (options_.project) options_.project(item);
    if (options_.index) item = pack(item);  // before the next page comes: all are held until the last
  }
  return watcher_.step(PageListed{std::move(page->items), page->resource_version, page->continue_token}, now);
}

std::vector<WatcherEffect> Informer::perform(const WatchNext& next, const std::stop_token& stop) {
  const auto on_event = [&](WatchEvent event) {
    if (options_.project) options_.project(event.object);
    for (WatcherEffect& effect :
         watcher_.step(EventSeen{std::move(event)}, std::chrono::steady_clock::now())) {
      apply(std::move(effect));
    }
    return true;
  };
  const Status end = client_.watch(resource_, options_.ns,
                                   {.label_selector = options_.label_selector,
                                    .field_selector = {},
                                    .resource_version = next.resource_version,
                                    .timeout = next.timeout},
                                   stop, on_event);
  if (stop.stop_requested()) return {};
  return watcher_.step(WatchEnded{end ? std::nullopt : std::optional(end.error())},
                       std::chrono::steady_clock::now());
}

}  // namespace muster::kube
