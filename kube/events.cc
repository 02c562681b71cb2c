// kube/events.cc: the correlator's arithmetic and the thread that writes
#include "kube/events.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "common/base/rfc3339.h"
#include "common/base/text.h"
#include "common/json/access.h"

namespace muster::kube {
namespace {

constexpr std::size_t kRememberedMax = 4096;
constexpr std::size_t kQueuedMax = 1000;
constexpr std::size_t kMessageBytesMax = 1024;  // the API server refuses longer ones
constexpr int kAlikeMax = 10;
constexpr std::chrono::minutes kAlikeWindow{10};
constexpr double kBurst = 25;
constexpr double kTokensPerSecond = 1.0 / 300;
constexpr std::chrono::seconds kFlushTime{2};

}  // namespace

template <typename T>
T& EventCorrelator::Recent<T>::operator[](const std::string& key) {
  const auto found = where_.find(key);
  if (found != where_.end()) {
    order_.splice(order_.begin(), order_, found->second);
  } else {
    order_.emplace_front(key, T{});
    where_[key] = order_.begin();
    if (order_.size() > kRememberedMax) {
      where_.erase(order_.back().first);
      order_.pop_back();
    }
  }
  return order_.front().second;
}

std::optional<EventWrite> EventCorrelator::correlate(EventRecord record, Instant now, WallTime wall) {
  record.message = clip(record.message, kMessageBytesMax - 64);
  const std::string uid = text_at(record.regarding, "uid");

  Bucket& bucket = buckets_[uid];
  const bool fresh = bucket.at == Instant{};
  const double gained =
      fresh ? kBurst : std::chrono::duration<double>(now - bucket.at).count() * kTokensPerSecond;
  bucket.tokens = std::min(kBurst, bucket.tokens + gained);
  bucket.at = now;
  if (bucket.tokens < 1) return std::nullopt;
  bucket.tokens -= 1;

  std::string key = uid + "|" + record.type + "|" + record.reason;
  Alike& alike = alike_[key];
  if (alike.count == 0 || now - alike.since > kAlikeWindow) alike = Alike{.count = 0, .since = now};
  if (++alike.count > kAlikeMax) {
    record.message = "(combined from similar events): " + record.message;
  } else {
    key += "|" + record.message;
  }

  const std::string ns = text_at(record.regarding, "namespace");
  const std::string last = rfc3339(wall);
  Written& written = written_[key];
  const bool again = ++written.count > 1;
  if (!again) {
    written.first = last;
    written.name = fmt::format("{}.{:x}", text_at(record.regarding, "name"),
                               static_cast<std::uint64_t>(wall.time_since_epoch().count()));
  }
  EventWrite write{.ns = ns.empty() ? "default" : ns, .name = written.name, .event = {}, .patch = {}};
  if (again) {
    write.patch = Json{{"count", written.count}, {"message", record.message}, {"lastTimestamp", last}};
  }
  write.event = Json{{"apiVersion", "v1"},
                     {"kind", "Event"},
                     {"metadata", {{"name", write.name}, {"namespace", write.ns}}},
                     {"involvedObject", record.regarding},
                     {"type", record.type},
                     {"reason", record.reason},
                     {"message", record.message},
                     {"source", {{"component", component_}}},
                     {"reportingComponent", component_},
                     {"reportingInstance", component_},
                     {"count", written.count},
                     {"firstTimestamp", written.first},
                     {"lastTimestamp", last}};
  return write;
}

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
