// kube/events.cc: the thread that writes events
#include "kube/events.h"

#include <chrono>
#include <exception>
#include <utility>

namespace muster::kube {
namespace {

constexpr std::size_t kQueuedMax = 1000;
constexpr std::chrono::seconds kFlushTime{2};

}  // namespace

EventRecorder::EventRecorder(Client& client, std::string component,
                             std::function<void(const Error&)> on_refused)
    : client_(client),
      on_refused_(std::move(on_refused)),
      correlator_(std::move(component)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

EventRecorder::~EventRecorder() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void EventRecorder::record(EventRecord record) {
  const MutexLock lock(mutex_);
  if (queue_.size() >= kQueuedMax) return;
  queue_.push_back(std::move(record));
  wake_.notify_one();
}

void EventRecorder::run(const std::stop_token& stop) {
  std::optional<Deadline> flush;
  while (true) {
    EventRecord record;
    {
      MutexLock lock(mutex_);
      wake_.wait(lock, stop, [this]() MUSTER_REQUIRES(mutex_) { return !queue_.empty(); });
      if (queue_.empty()) return;
      record = std::move(queue_.front());
      queue_.pop_front();
    }
    if (stop.stop_requested()) {
      if (!flush) flush = deadline_after(kFlushTime);
      if (std::chrono::steady_clock::now() > *flush) return;
    }
    try {
      write(std::move(record));
    } catch (const std::exception&) {
      // A bug in how one event is told must not end the process: the event is dropped, like one that is
      // refused.
    }
  }
}

void EventRecorder::write(EventRecord record) {
  const auto write = correlator_.correlate(std::move(record), std::chrono::steady_clock::now(),
                                           std::chrono::system_clock::now());
  if (!write) return;
  if (write->patch) {
    const auto raised = client_.patch(kEvents, write->ns, write->name, PatchType::kMerge, *write->patch);
    if (raised) return;
    if (raised.error().code != Code::kNotFound) return failed(raised.error());
  }
  const auto created = client_.create(kEvents, write->ns, write->event, {.metadata_only = true});
  if (!created) failed(created.error());
}

// 403 is also the answer of a namespace that is going away, which takes its objects along.
void EventRecorder::failed(const Error& error) {
  if (error.code != Code::kPermissionDenied || !on_refused_) return;
  if (error.message.find("because it is being terminated") != std::string::npos) return;
  on_refused_(error);
  on_refused_ = {};
}

}  // namespace muster::kube
