// local/api/controllers.cc: notes of changes, and the thread that acts on them
#include "local/api/controllers.h"

#include <algorithm>

#include "local/api/crd.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr const char* kCrds = "customresourcedefinitions.apiextensions.k8s.io";
constexpr auto kPace = std::chrono::milliseconds(1);
constexpr auto kIdle = std::chrono::hours(1);  // with nothing to do and no event to expire

}  // namespace

Controllers::Controllers(ObjectStore& store, Kinds& kinds, Rest& rest, std::chrono::seconds event_lifetime,
                         std::string certificate_pem)
    : store_(store),
      kinds_(kinds),
      rest_(rest),
      event_lifetime_(event_lifetime),
      certificate_pem_(std::move(certificate_pem)) {}

Controllers::~Controllers() { stop(); }

void Controllers::start() {
  store_.listen([this](std::string_view resource, const Change& change) {
    if (resource == "events") {  // own nothing and are owned by nothing
      note_event(change);
      return;
    }
    Note note;
    note.resource = std::string(resource);
    note.ns = change.object->ns;
    note.name = change.object->name;
    note.uid = change.object->uid;
    note.deleted = change.type == ChangeType::kDeleted;
    note.owner_uids = change.object->owner_uids;
    note.terminating = change.object->text.find("\"deletionTimestamp\":") != std::string::npos;
    const MutexLock lock(mutex_);
    notes_.push_back(std::move(note));
    changed_.notify_one();
  });
  thread_ = std::thread([this] { loop(); });
  const auto bootstrap = [this](const char* plural, Json object) {
    WriteOptions options;
    options.manager = "kube-apiserver";
    (void)rest_.create(*kinds_.table()->preferred(plural), "", std::move(object), options);
  };
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"})
    bootstrap("namespaces", Json{{"metadata", {{"name", name}}}});
  bootstrap("priorityclasses.scheduling.k8s.io",
            Json{{"metadata", {{"name", "system-cluster-critical"}}},
                 {"value", 2000000000},
                 {"description",
                  "Used for system critical pods that must run in the "
                  "cluster, but can be moved to another node if necessary."}});
  bootstrap("priorityclasses.scheduling.k8s.io", Json{{"metadata", {{"name", "system-node-critical"}}},
                                                      {"value", 2000001000},
                                                      {"description",
                                                       "Used for system critical pods that must not be moved "
                                                       "from their current node."}});
}

void Controllers::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Controllers::wrote(const Kind& kind, const Json& object, bool created) {
  const std::string resource = kind.resource();
  if (resource == "namespaces" && created) {
    fill_namespace(meta_text(object, "name"));
  } else if (resource == kCrds) {
    Json crd = object;
    if (establish_crd(crd, *kinds_.table(), std::chrono::system_clock::now())) {
      WriteOptions options;
      options.manager = "kube-apiserver";
      options.subresource = "status";
      (void)rest_.update(
          kind, "", meta_text(object, "name"),
          [&](const Json& current) -> ApiResult<Json> {
            Json changed = current;
            changed["status"] = crd["status"];
            return changed;
          },
          options);
      return;  // that write comes back here
    }
    bool accepted = false;
    for (const Json& each : array_of(object_of(crd, "status"), "conditions"))
      accepted = accepted || (text_at(each, "type") == "NamesAccepted" && text_at(each, "status") == "True");
    kinds_.set_custom(meta_text(crd, "name"), accepted ? kinds_of_crd(crd) : std::vector<KindPtr>{});
  }
}

void Controllers::removed(const Kind& kind, const Json& object) {
  if (kind.resource() == kCrds) kinds_.set_custom(meta_text(object, "name"), {});
}

void Controllers::note_event(const Change& change) {
  if (change.type == ChangeType::kDeleted) return;
  const MutexLock lock(mutex_);
  event_writes_.push_back(
      {std::chrono::steady_clock::now(), change.object->ns, change.object->name, change.object->version});
  if (event_writes_.size() == 1) changed_.notify_one();
}

void Controllers::loop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    while (const auto oldest = take_expired_event()) {
      lock.unlock();
      (void)store_.remove("events", oldest->ns, oldest->name,
                          oldest->version);  // unless it was written since
      lock.lock();
    }
    if (stopping_) return;
    if (notes_.empty()) {
      Instant next = std::chrono::steady_clock::now() + kIdle;
      if (!event_writes_.empty()) next = std::min(next, event_writes_.front().at + event_lifetime_);
      for (const auto& [name, at] : rechecks_) next = std::min(next, at);
      if (changed_.wait_until(lock, next) == std::cv_status::timeout) {
        lock.unlock();
        recheck_namespaces();
        lock.lock();
      }
    }
    if (stopping_ || notes_.empty()) continue;
    const Note note = std::move(notes_.front());
    notes_.pop_front();
    lock.unlock();
    handle(note);
    recheck_namespaces();
    lock.lock();
    if (!notes_.empty() || stopping_) continue;
    lock.unlock();
    std::this_thread::sleep_for(
        kPace);  // to be woken for every write would cost the writers more than their writes
    lock.lock();
  }
}

void Controllers::handle(const Note& note) {
  const std::string key = note.resource + "|" + note.ns + "|" + note.name;
  if (note.deleted) {
    uids_.erase(note.uid);
    for (const std::string& owner : note.owner_uids) {
      const auto it = dependents_.find(owner);
      if (it != dependents_.end() && it->second.erase(key + "|" + note.uid) > 0 && it->second.empty())
        dependents_.erase(it);
    }
    collect_dependents(note.uid, Policy::kBackground);
    for (const std::string& owner : note.owner_uids)
      if (const auto it = uids_.find(owner); it != uids_.end()) {
        Note again;
        const auto first = it->second.find('|');
        const auto second = it->second.find('|', first + 1);
        again.resource = it->second.substr(0, first);
        again.ns = it->second.substr(first + 1, second - first - 1);
        again.name = it->second.substr(second + 1);
        again.uid = owner;
        finish_owner(again);
      }
    if (!note.ns.empty() && rechecks_.count(note.ns) == 0) end_namespace(note.ns);
    if (note.resource.find('.') != std::string::npos) end_crd(note.resource);
  } else {
    uids_[note.uid] = key;
    for (const std::string& owner : note.owner_uids) dependents_[owner].insert(key + "|" + note.uid);
    if (!note.owner_uids.empty()) check_owners(note);
    if (note.terminating) {
      if (note.resource == "namespaces" && rechecks_.count(note.name) == 0) end_namespace(note.name);
      if (note.resource == kCrds) end_crd(note.name);
      finish_owner(note);
    }
  }
  if (note.resource == "pods" || note.resource == "services") update_endpoints(note.ns);
}

// A namespace that was held up is looked at again now and then, as the real controller does.
void Controllers::recheck_namespaces() {
  const Instant now = std::chrono::steady_clock::now();
  std::vector<std::string> due;
  for (const auto& [name, at] : rechecks_)
    if (at <= now) due.push_back(name);
  for (const std::string& name : due) {
    rechecks_.erase(name);
    end_namespace(name);
  }
}

std::optional<Controllers::EventWrite> Controllers::take_expired_event() {
  const Instant now = std::chrono::steady_clock::now();
  if (stopping_ || event_writes_.empty() || now - event_writes_.front().at < event_lifetime_)
    return std::nullopt;
  EventWrite oldest = std::move(event_writes_.front());
  event_writes_.pop_front();
  return oldest;
}

}  // namespace muster::local
