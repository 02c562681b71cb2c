// local/runtime/node.cc: from changes of pods to runners of pods
#include "local/runtime/node.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include "common/platform/log.h"
#include "local/runtime/json_access.h"
#include "pod/pod_contract.h"

namespace muster::local {
namespace {

constexpr std::chrono::milliseconds kChangesWait{1'000};  // also how long stop() may wait for the follower

}  // namespace

Result<std::unique_ptr<Node>> Node::start(NodeApi& api, LogStore& logs, NodeOptions options) {
  const std::filesystem::path init = options.binaries / "muster-init";
  if (::access(init.c_str(), X_OK) != 0) {
    return not_found(fmt::format("binary {} not found; build it with `./dev build`", init.string()));
  }
  std::error_code error;
  options.run_folder = std::filesystem::absolute(options.run_folder, error);
  options.volumes_folder = std::filesystem::absolute(options.volumes_folder, error);
  options.binaries = std::filesystem::absolute(options.binaries, error);
  std::unique_ptr<Node> node(new Node(api, logs, std::move(options)));
  MUSTER_ASSIGN(const std::string address, node->addresses_.take());  // no pod could start without one
  node->addresses_.give_back(address);
  node->names_.open(init);
  node->reactor_thread_ = std::thread([raw = node.get()] { raw->reactor_.run(); });
  for (const char* resource : {"services", "pods"})
    node->followers_.emplace_back([raw = node.get(), resource] { raw->follow(resource); });
  return node;
}

Node::Node(NodeApi& api, LogStore& logs, NodeOptions options)
    : api_(api),
      logs_(logs),
      options_(std::move(options)),
      addresses_(std::random_device{}(), {kControlPort, kDataPort, kMetricsPort}),
      names_(options_.run_folder / "hosts"),
      gpus_(options_.gpus) {}

Node::~Node() { (void)stop(std::chrono::milliseconds(0), deadline_after(std::chrono::seconds(5))); }

void Node::follow(std::string_view resource) {
  while (!stopped_) {
    std::vector<ObjectChange> changes = api_.changes(resource, kChangesWait);
    if (changes.empty()) continue;
    const MutexLock lock(changes_mutex_);
    std::vector<ObjectChange>& waiting = resource == "pods" ? pod_changes_ : service_changes_;
    const bool posted = !waiting.empty();
    std::ranges::move(changes, std::back_inserter(waiting));
    if (!posted) reactor_.post([this] { take_changes(); });
  }
}

// What piled up while the reactor was busy is taken together, so that names are written once for all of it,
// and before a pod starts that may ask for its own.
void Node::take_changes() {
  std::vector<ObjectChange> pods;
  std::vector<ObjectChange> services;
  {
    const MutexLock lock(changes_mutex_);
    pods.swap(pod_changes_);
    services.swap(service_changes_);
  }
  for (const ObjectChange& change : services) take_service(change);
  for (const ObjectChange& change : pods) name_pod(change);
  names_.settle();
  for (const ObjectChange& change : pods) take_pod(change);
}

void Node::take_service(const ObjectChange& change) {
  if (change.deleted) {
    names_.names().remove_service(change.object);
  } else {
    names_.names().put_service(change.object);
  }
}

// Gives a new pod its address, and the hosts files its names.
void Node::name_pod(const ObjectChange& change) {
  const Json& pod = change.object;
  const std::string uid = uid_of(pod);
  if (change.deleted) return names_.names().remove_pod(uid);
  const auto found = pods_.find(uid);
  if (found != pods_.end()) return names_.names().put_pod(pod, found->second->ip());
  const std::string phase = text(member(pod, "status", "phase"));
  const bool ours = text(member(pod, "spec", "nodeName")) == options_.name;
  if (!ours || shutting_down_ || phase == "Succeeded" || phase == "Failed") return;
  Result<std::string> address = addresses_.take();
  if (!address) {
    api_.record({.pod = pod,
                 .field_path = "",
                 .type = "Warning",
                 .reason = "FailedCreatePodSandBox",
                 .message = address.error().message});
    spdlog::error("no address for a pod pod={}/{} error={}", namespace_of(pod), name_of(pod),
                  address.error().message);
    return;
  }
  // Its Service may be there already without having come by: a pod is to know its own name from the start.
  const std::string ns = namespace_of(pod);
  const std::string subdomain = text(member(pod, "spec", "subdomain"));
  if (!subdomain.empty() && !names_.names().knows_service(ns, subdomain)) {
    if (const Result<Json> service = api_.get("services", ns, subdomain))
      names_.names().put_service(*service);
  }
  names_.names().put_pod(pod, *address);
  auto runner = std::make_unique<PodRunner>(reactor_, api_, logs_, PodRunner::Shared{names_, gpus_, claims_},
                                            options_, pod, *address);
  runner->on_idle([this] { note_idle(); });
  pods_.emplace(uid, std::move(runner));
}

void Node::take_pod(const ObjectChange& change) {
  const std::string uid = uid_of(change.object);
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return;
  if (change.deleted) return remove(uid);
  PodRunner& runner = *found->second;
  if (runner.begun()) return runner.update(change.object);
  runner.begin();
}

void Node::remove(const std::string& uid) {
  auto gone = pods_.extract(uid);
  addresses_.give_back(gone.mapped()->ip());
  gone.mapped().reset();  // kills what still runs
  note_idle();
}

void Node::note_idle() {
  if (!shutting_down_) return;
  for (const auto& [uid, pod] : pods_) {
    if (!pod->nothing_runs()) return;
  }
  const MutexLock lock(mutex_);
  idle_ = true;
  idle_changed_.notify_all();
}

Status Node::stop(std::chrono::milliseconds grace, Deadline deadline) {
  if (stopped_.exchange(true) || !reactor_thread_.joinable()) return {};  // or it could not be started
  reactor_.post([this, grace] {
    shutting_down_ = true;
    for (const auto& [uid, pod] : pods_) pod->shut_down(grace);
    note_idle();
  });
  bool ended = false;
  {
    MutexLock lock(mutex_);
    ended = idle_changed_.wait_until(lock, deadline, [this]() MUSTER_REQUIRES(mutex_) { return idle_; });
  }
  std::string left;
  reactor_.post([this, &left] {
    for (const auto& [uid, pod] : pods_) {
      if (!pod->nothing_runs()) left += (left.empty() ? "" : ", ") + pod->name();
    }
    pods_.clear();
    reactor_.stop();
  });
  reactor_thread_.join();
  for (std::thread& follower : followers_) follower.join();
  if (!ended && !left.empty()) {  // what ended after the deadline, but before the look, is no problem
    return deadline_exceeded(
        fmt::format("pods {} did not end in time; look for their processes with `ps`", left));
  }
  return {};
}

}  // namespace muster::local
