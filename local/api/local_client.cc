// local/api/local_client.cc: requests without a socket, and subscriptions that outlive compaction
#include "local/api/local_client.h"

#include <fmt/format.h>

#include <map>
#include <thread>

#include "common/base/rfc3339.h"
#include "common/platform/mutex.h"
#include "local/api/http_api.h"
#include "local/api/metadata.h"
#include "local/api/selectors.h"

namespace muster::local {
namespace {

constexpr std::chrono::milliseconds kPace{1};

class StoreSubscription : public LocalClient::Subscription {
 public:
  StoreSubscription(ObjectStore& store, std::string resource)
      : store_(store), resource_(std::move(resource)) {}

  std::vector<Change> next(std::chrono::milliseconds wait) override {
    if (closed_) return {};
    if (!cursor_) return relist();
    // Under load a batch a millisecond: to be woken for every change would cost the writers more than their
    // writes.
    if (std::chrono::steady_clock::now() - last_batch_ < kPace) std::this_thread::sleep_for(kPace);
    auto changes = cursor_->wait(wait);
    last_batch_ = std::chrono::steady_clock::now();
    if (!changes && changes.error().code == Code::kOutOfRange) return relist();
    if (!changes) return {};
    for (const Change& change : *changes) {
      if (change.type == ChangeType::kDeleted)
        known_.erase(change.object->uid);
      else
        known_[change.object->uid] = change.object;
    }
    return *std::move(changes);
  }

  void close() override {
    const MutexLock lock(mutex_);
    closed_ = true;
    if (cursor_) cursor_->close();
  }

 private:
  std::vector<Change> relist() {
    std::vector<Change> changes;
    const ObjectList all = store_.list(resource_);
    auto cursor = store_.watch(resource_, "", all.version);
    if (!cursor) return {};
    {
      const MutexLock lock(mutex_);
      cursor_ = std::move(*cursor);
      if (closed_) cursor_->close();
    }
    std::map<std::string, ObjectPtr> before = std::exchange(known_, {});
    for (const ObjectPtr& object : all.objects) {
      const auto it = before.find(object->uid);
      if (it == before.end())
        changes.push_back({ChangeType::kAdded, object, nullptr});
      else if (it->second->version != object->version)
        changes.push_back({ChangeType::kModified, object, it->second});
      known_[object->uid] = object;
      if (it != before.end()) before.erase(it);
    }
    for (const auto& [uid, object] : before) changes.push_back({ChangeType::kDeleted, object, object});
    return changes;
  }

  ObjectStore& store_;
  const std::string resource_;
  // Of cursor_, which one thread replaces and reads, and close() ends from another.
  Mutex mutex_;
  std::unique_ptr<ObjectStore::Cursor> cursor_;
  std::map<std::string, ObjectPtr> known_;
  Instant last_batch_{};
  std::atomic<bool> closed_{false};
};

}  // namespace

LocalClient::LocalClient(HttpApi& api, ObjectStore& store) : api_(api), store_(store) {}

namespace {

WriteOptions node_options(const char* subresource = "") {
  WriteOptions options;
  options.manager = "kubelet";
  options.validation = FieldValidation::kStrict;
  options.trusted = true;
  options.subresource = subresource;
  return options;
}

Result<KindPtr> kind_of(HttpApi& api, std::string_view resource) {
  KindPtr kind = api.rest().kinds().table()->preferred(resource);
  if (!kind) return not_found(fmt::format("the API server knows no resource {}", resource));
  return kind;
}

template <typename T>
Result<T> plain(ApiResult<T> result) {
  if (!result) return result.error().error();
  return *std::move(result);
}

Result<Json> merge(HttpApi& api, std::string_view resource, std::string_view ns, std::string_view name,
                   const Json& patch, const char* subresource) {
  MUSTER_ASSIGN(const KindPtr kind, kind_of(api, resource));
  return plain(api.rest().update(
      *kind, std::string(ns), std::string(name),
      [&](const Json& current) -> ApiResult<Json> {
        Json changed = current;
        changed["metadata"].erase("resourceVersion");
        changed.merge_patch(patch);
        return changed;
      },
      node_options(subresource)));
}

}  // namespace

Result<Json> LocalClient::get(std::string_view resource, std::string_view ns, std::string_view name) const {
  MUSTER_ASSIGN(const KindPtr kind, kind_of(api_, resource));
  return plain(api_.rest().get(*kind, ns, name));
}

std::vector<Json> LocalClient::list(std::string_view resource, std::string_view ns,
                                    std::string_view label_selector) const {
  std::vector<Json> objects;
  const auto requirements = parse_label_selector(label_selector);
  if (!requirements) return objects;
  for (const ObjectPtr& object : store_.list(resource, ns).objects)
    if (matches(*requirements, object->labels)) objects.push_back(object->json());
  return objects;
}

Result<Json> LocalClient::create(std::string_view resource, std::string_view ns, const Json& object) {
  MUSTER_ASSIGN(const KindPtr kind, kind_of(api_, resource));
  return plain(api_.rest().create(*kind, std::string(ns), object, node_options()));
}

Result<Json> LocalClient::patch(std::string_view resource, std::string_view ns, std::string_view name,
                                const Json& merge_patch) {
  return merge(api_, resource, ns, name, merge_patch, "");
}

Result<Json> LocalClient::patch_status(std::string_view resource, std::string_view ns, std::string_view name,
                                       const Json& merge_patch) {
  return merge(api_, resource, ns, name, merge_patch, "status");
}

Status LocalClient::remove(std::string_view resource, std::string_view ns, std::string_view name) {
  MUSTER_ASSIGN(const KindPtr kind, kind_of(api_, resource));
  const auto deletion = api_.rest().remove(*kind, std::string(ns), std::string(name), DeleteOptions{});
  if (!deletion) return deletion.error().error();
  return {};
}

Status LocalClient::bind_pod(std::string_view ns, std::string_view name, std::string_view uid,
                             std::string_view node) {
  MUSTER_ASSIGN(const KindPtr kind, kind_of(api_, "pods"));
  WriteOptions options = node_options();
  options.manager = "kube-scheduler";
  options.subresource = "binding";
  const auto bound = api_.rest().update(
      *kind, std::string(ns), std::string(name),
      [&](const Json& current) -> ApiResult<Json> {
        if (meta_text(current, "uid") != uid) return ApiError::not_found("pods", name);
        if (!text_at(object_of(current, "spec"), "nodeName").empty())
          return ApiError::conflict("pods/binding", name,
                                    fmt::format("pod {} is already assigned to node", name));
        Json changed = current;
        changed["metadata"].erase("resourceVersion");
        changed["spec"]["nodeName"] = node;
        return changed;
      },
      options);
  if (!bound) return bound.error().error();
  options.subresource = "status";
  const auto marked = api_.rest().update(
      *kind, std::string(ns), std::string(name),
      [&](const Json& current) -> ApiResult<Json> {
        Json changed = current;
        changed["metadata"].erase("resourceVersion");
        Json conditions = Json::array();
        for (const Json& each : array_of(object_of(current, "status"), "conditions"))
          if (text_at(each, "type") != "PodScheduled") conditions.push_back(each);
        conditions.push_back(Json{{"type", "PodScheduled"},
                                  {"status", "True"},
                                  {"lastProbeTime", nullptr},
                                  {"lastTransitionTime", rfc3339(std::chrono::system_clock::now())}});
        changed["status"]["conditions"] = conditions;
        return changed;
      },
      options);
  if (!marked) return marked.error().error();
  return {};
}

Status LocalClient::finish_pod_deletion(std::string_view ns, std::string_view name, std::string_view uid) {
  MUSTER_ASSIGN(const KindPtr kind, kind_of(api_, "pods"));
  DeleteOptions options;
  options.uid = uid;
  options.grace_seconds = 0;
  const auto deletion = api_.rest().remove(*kind, std::string(ns), std::string(name), options);
  if (!deletion && deletion.error().code == 409) return not_found(deletion.error().message);
  if (!deletion) return deletion.error().error();
  return {};
}

Result<std::string> LocalClient::pod_token(std::string_view ns, std::string_view account,
                                           std::string_view pod, std::string_view uid) const {
  AccountTokens::Wish wish{std::string(ns), std::string(account), std::string(pod), std::string(uid)};
  wish.lifetime = std::chrono::hours(365 * 24);
  auto token = plain(api_.account_tokens().issue(wish, std::chrono::system_clock::now()));
  if (!token) return token.error();
  return std::move(token->text);
}

namespace {

constexpr std::size_t kRecentEventsMax = 4096;

Json involved_object(const EventRecord& record) {
  Json involved = Json::object();
  for (const char* member : {"apiVersion", "kind"})
    if (const std::string text = text_at(record.regarding, member); !text.empty()) involved[member] = text;
  for (const char* member : {"name", "namespace", "uid", "resourceVersion"})
    if (const std::string text = meta_text(record.regarding, member); !text.empty()) involved[member] = text;
  if (!record.field_path.empty()) involved["fieldPath"] = record.field_path;
  return involved;
}

Json new_event(const EventRecord& record, const std::string& name, const std::string& now) {
  // Who runs on no node reports by events.k8s.io, whose events have no source.
  Json source = Json::object();
  if (!record.host.empty()) source = Json{{"component", record.component}, {"host", record.host}};
  return Json{{"apiVersion", "v1"},
              {"kind", "Event"},
              {"metadata", Json{{"name", name}}},
              {"involvedObject", involved_object(record)},
              {"type", record.type},
              {"reason", record.reason},
              {"message", record.message},
              {"source", source},
              {"count", 1},
              {"firstTimestamp", now},
              {"lastTimestamp", now},
              {"eventTime", nullptr},
              {"reportingComponent", record.component},
              {"reportingInstance", record.host}};
}

}  // namespace

void LocalClient::record_event(const EventRecord& record) {
  const std::string now = rfc3339(std::chrono::system_clock::now());
  const std::string given = meta_text(record.regarding, "namespace");
  const std::string ns = given.empty() ? "default" : given;
  std::string key = ns;
  for (const std::string& part :
       {meta_text(record.regarding, "name"), meta_text(record.regarding, "uid"), record.field_path,
        record.type, record.reason, record.message, record.component})
    key.append(1, '\0').append(part);
  const MutexLock lock(events_mutex_);
  const auto known = recent_events_.find(key);
  if (known != recent_events_.end()) {
    const auto event = get("events", ns, known->second);
    if (event && patch("events", ns, known->second,
                       Json{{"count", event->value("count", 1) + 1}, {"lastTimestamp", now}}))
      return;  // else it has expired
  } else {
    recent_order_.push_back(key);
    if (recent_order_.size() > kRecentEventsMax) {
      recent_events_.erase(recent_order_.front());
      recent_order_.pop_front();
    }
  }
  const auto stamp = std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  const std::string name = fmt::format("{}.{:x}", meta_text(record.regarding, "name"), stamp);
  recent_events_[key] = name;
  (void)create("events", ns, new_event(record, name, now));
}

std::unique_ptr<LocalClient::Subscription> LocalClient::subscribe(std::string_view resource) {
  return std::make_unique<StoreSubscription>(store_, std::string(resource));
}

}  // namespace muster::local
