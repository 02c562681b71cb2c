// local/runtime/node.cc: from changes of pods to runners of pods
#include "local/runtime/node.h"

#include <fmt/format.h>
#include <unistd.h>

#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include "common/platform/log.h"
#include "local/runtime/json_access.h"

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
  node->reactor_thread_ = std::thread([raw = node.get()] { raw->reactor_.run(); });
  node->follower_ = std::thread([raw = node.get()] { raw->follow(); });
  return node;
}

Node::Node(NodeApi& api, LogStore& logs, NodeOptions options)
    : api_(api), logs_(logs), options_(std::move(options)), addresses_(std::random_device{}()) {}

Node::~Node() { (void)stop(std::chrono::milliseconds(0), deadline_after(std::chrono::seconds(5))); }

void Node::follow() {
  while (!stopped_) {
    std::vector<PodChange> changes = api_.changes(kChangesWait);
    if (changes.empty()) continue;
    reactor_.post([this, batch = std::move(changes)] {
      for (const PodChange& change : batch) take(change);
    });
  }
}

void Node::take(const PodChange& change) {
  const std::string uid = uid_of(change.pod);
  const auto found = pods_.find(uid);
  if (change.deleted) {
    if (found != pods_.end()) remove(uid);
    return;
  }
  if (found != pods_.end()) return found->second->update(change.pod);
  const std::string phase = text(member(change.pod, "status", "phase"));
  const bool ours = text(member(change.pod, "spec", "nodeName")) == options_.name;
  if (!ours || shutting_down_ || phase == "Succeeded" || phase == "Failed") return;
  Result<std::string> address = addresses_.take();
  if (!address) {
    api_.record({.pod = change.pod,
                 .field_path = "",
                 .type = "Warning",
                 .reason = "FailedCreatePodSandBox",
                 .message = address.error().message});
    spdlog::error("no address for a pod pod={}/{} error={}", namespace_of(change.pod), name_of(change.pod),
                  address.error().message);
    return;
  }
  auto runner = std::make_unique<PodRunner>(reactor_, api_, logs_, options_, change.pod, *address);
  PodRunner& added = *pods_.emplace(uid, std::move(runner)).first->second;
  added.on_idle([this] { note_idle(); });
  added.begin();
  if (member(change.pod, "metadata", "deletionTimestamp").is_string()) added.update(change.pod);
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
  const std::lock_guard lock(mutex_);
  idle_ = true;
  idle_changed_.notify_all();
}

Status Node::stop(std::chrono::milliseconds grace, Deadline deadline) {
  if (stopped_.exchange(true)) return {};
  reactor_.post([this, grace] {
    shutting_down_ = true;
    for (const auto& [uid, pod] : pods_) pod->shut_down(grace);
    note_idle();
  });
  bool ended = false;
  {
    std::unique_lock lock(mutex_);
    ended = idle_changed_.wait_until(lock, deadline, [this] { return idle_; });
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
  follower_.join();
  if (!ended) {
    return deadline_exceeded(
        fmt::format("pods {} did not end in time; look for their processes with `ps`", left));
  }
  return {};
}

}  // namespace muster::local
