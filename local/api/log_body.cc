// local/api/log_body.cc: a log as the body of an answer
#include "local/api/log_body.h"

#include <fmt/format.h>

#include "common/platform/mutex.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;        // read ahead of a slow client
constexpr auto kWait = std::chrono::milliseconds(200);  // how soon a closed reader is noticed

const Json* find_named(const Json& list, const std::string& name) {
  for (const Json& each : list)
    if (text_at(each, "name") == name) return &each;
  return nullptr;
}

}  // namespace

ApiResult<std::string> choose_container(const Json& pod, const std::string& name, bool previous) {
  const Json& spec = object_of(pod, "spec");
  const Json& containers = array_of(spec, "containers");
  const Json& init = array_of(spec, "initContainers");
  const std::string pod_name = meta_text(pod, "name");
  std::string chosen = name;
  if (chosen.empty()) {
    if (containers.size() != 1) {
      std::string names;
      for (const Json& each : containers) names += (names.empty() ? "" : " ") + text_at(each, "name");
      return ApiError::bad_request(
          fmt::format("a container name must be specified for pod {}, choose one of: [{}]", pod_name, names));
    }
    chosen = text_at(containers[0], "name");
  }
  if (find_named(containers, chosen) == nullptr && find_named(init, chosen) == nullptr)
    return ApiError::bad_request(fmt::format("container {} is not valid for pod {}", chosen, pod_name));
  const Json& status = object_of(pod, "status");
  const Json* seen = find_named(array_of(status, "containerStatuses"), chosen);
  if (seen == nullptr) seen = find_named(array_of(status, "initContainerStatuses"), chosen);
  if (seen == nullptr || previous) {
    if (seen != nullptr || text_at(spec, "nodeName").empty() || previous) return chosen;
    return ApiError::bad_request(
        fmt::format("container {} in pod {} is not available", go_quote(chosen), go_quote(pod_name)));
  }
  const Json& state = object_of(*seen, "state");
  const Json& waiting = object_of(state, "waiting");
  if (state.contains("waiting") && !object_of(*seen, "lastState").contains("terminated")) {
    const std::string reason = text_at(waiting, "reason");
    return ApiError::bad_request(fmt::format("container {} in pod {} is waiting to start: {}",
                                             go_quote(chosen), go_quote(pod_name),
                                             reason.empty() ? "no reason" : reason));
  }
  return chosen;
}

struct LogBody::Shared {
  std::unique_ptr<LogStream> log;
  const bool follow;
  Mutex mutex;
  Condition drained;
  std::string buffer MUSTER_GUARDED_BY(mutex);
  bool ended MUSTER_GUARDED_BY(mutex) = false;
  bool closed MUSTER_GUARDED_BY(mutex) = false;
  std::function<void()> ready MUSTER_GUARDED_BY(mutex);

  Shared(std::unique_ptr<LogStream> stream, bool follows) : log(std::move(stream)), follow(follows) {}
};

LogBody::LogBody(std::unique_ptr<LogStream> log, bool follow)
    : shared_(std::make_shared<Shared>(std::move(log), follow)) {
  if (follow)
    std::thread([shared = shared_] { follow_loop(shared); }).detach();  // ends within kWait of close()
}

LogBody::~LogBody() { close(); }

void LogBody::follow_loop(const std::shared_ptr<Shared>& shared) {
  while (true) {
    auto piece = shared->log->read(kWait);
    std::function<void()> ready;
    {
      MutexLock lock(shared->mutex);
      if (shared->closed) break;
      if (!piece || !*piece)
        shared->ended = true;
      else
        shared->buffer += **piece;
      if (shared->ended || !shared->buffer.empty()) ready = std::exchange(shared->ready, nullptr);
      if (!ready && shared->buffer.size() > kBufferBytes)
        shared->drained.wait(lock, [&]() MUSTER_REQUIRES(shared->mutex) {
          return shared->closed || shared->buffer.size() <= kBufferBytes;
        });
    }
    if (ready) ready();
    if (!piece || !*piece) break;
  }
  shared->log.reset();
}

BodyStream::State LogBody::pull(std::string& out) {
  if (!shared_->follow) {
    if (!shared_->log) return State::kEnd;
    auto piece = shared_->log->read(std::chrono::milliseconds(0));
    if (piece && *piece && !(*piece)->empty()) {
      out += **piece;
      return State::kData;
    }
    shared_->log.reset();
    return State::kEnd;
  }
  const MutexLock lock(shared_->mutex);
  if (shared_->closed) return State::kEnd;
  if (!shared_->buffer.empty()) {
    out += std::exchange(shared_->buffer, {});
    shared_->drained.notify_all();
    return State::kData;
  }
  return shared_->ended ? State::kEnd : State::kPending;
}

void LogBody::when_ready(std::function<void()> ready) {
  {
    const MutexLock lock(shared_->mutex);
    if (shared_->buffer.empty() && !shared_->ended && !shared_->closed) {
      shared_->ready = std::move(ready);
      return;
    }
  }
  ready();
}

void LogBody::close() {
  std::function<void()> ready;
  {
    const MutexLock lock(shared_->mutex);
    shared_->closed = true;
    ready = std::exchange(shared_->ready, nullptr);
    shared_->drained.notify_all();
  }
  if (ready) ready();
}

}  // namespace muster::local
