#pragma once  // kube/informer.h: a live, projected copy of one collection in memory, kept by one thread
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/platform/mutex.h"
#include "kube/client.h"
#include "kube/watcher.h"

namespace muster::kube {

using Object = std::shared_ptr<const Json>;  // never changed once stored

[[nodiscard]] std::string object_key(const Json& object);  // "namespace/name", "name" when cluster-scoped
// True when version `a` is newer than `b`; both must be decimal (Kubernetes 1.35), else false.
[[nodiscard]] bool newer_version(const std::string& a, const std::string& b);

class Store {  // thread-safe
 public:
  [[nodiscard]] Object get(const std::string& key) const;
  [[nodiscard]] std::vector<Object> list() const;
  [[nodiscard]] std::vector<Object> by_index(const std::string& value) const;
  [[nodiscard]] std::size_t size() const;

  explicit Store(std::function<std::string(const Json&)> index = {}) : index_(std::move(index)) {}
  // Stores unless a newer version is there, or was there and is gone; returns whether it did.
  bool upsert(Object object);
  // `deleted` is the last state of an object that is gone.
  void erase(const Json& deleted);
  // Takes a list as of `version`, but for objects that are known to be newer: a list in pages is as of its
  // first page, and our own writes go on meanwhile. Returns the objects which are gone.
  std::vector<Object> replace(std::vector<Object> objects, const std::string& version);

 private:
  // `kept`: what is stored of `object`.
  void drop_from_index(const Object& kept, const Json& object) MUSTER_REQUIRES(mutex_);
  void put(const std::string& key, Object kept, const Json& object) MUSTER_REQUIRES(mutex_);

  const std::function<std::string(const Json&)> index_;
  mutable Mutex mutex_;
  std::string listed_version_ MUSTER_GUARDED_BY(mutex_);  // of the last list; empty: none yet
  std::map<std::string, Object, std::less<>> objects_ MUSTER_GUARDED_BY(mutex_);
  std::multimap<std::string, Object, std::less<>> indexed_ MUSTER_GUARDED_BY(mutex_);
  std::deque<std::pair<std::string, std::string>> graves_
      MUSTER_GUARDED_BY(mutex_);  // uid and last version of the latest deleted objects
};

class Informer {
 public:
  struct Options {
    std::string ns;  // empty: all namespaces
    std::string label_selector;
    int page_size = 500;
    std::function<void(Json&)> project;             // drops what nobody reads, on decode
    std::function<std::string(const Json&)> index;  // for Store::by_index, e.g. the owner's uid
    std::function<void(const Object& object, bool deleted)>
        on_change;                                       // on the informer's thread; never blocks
    std::function<void(const std::string&)> on_problem;  // one line for the log
    std::function<void(const Error&)> on_error;          // the same, for who acts upon it
    Watcher::Options watcher;
  };
  Informer(Client& client, Resource resource, Options options);
  ~Informer();  // stops and joins

  void start();
  [[nodiscard]] bool synced() const { return synced_; }
  [[nodiscard]] Store& store() { return store_; }
  [[nodiscard]] const Resource& resource() const { return resource_; }
  [[nodiscard]] bool covers(const std::string& ns) const { return options_.ns.empty() || options_.ns == ns; }
  // Waits until the first list is in, or `deadline`; false then.
  [[nodiscard]] bool wait_synced(Deadline deadline);
  // Puts the answer to one of our own writes in, so that the next read sees it.
  void observe_write(Json object);

 private:
  void run(const std::stop_token& stop);
  void apply(WatcherEffect&& effect);
  [[nodiscard]] std::vector<WatcherEffect> perform(const ListNext& next, const std::stop_token& stop);
  [[nodiscard]] std::vector<WatcherEffect> perform(const WatchNext& next, const std::stop_token& stop);
  void changed(const Object& object, bool deleted);

  Client& client_;
  Resource resource_;
  Options options_;
  Store store_;
  Watcher watcher_;  // of the thread, and of the watch that it waits for
  std::atomic<bool> synced_{false};
  Mutex mutex_;  // of `wake_`
  Condition wake_;
  std::jthread thread_;
};

}  // namespace muster::kube
