// kube/event_correlator.cc: alike events are counted, and an object's are rationed
#include "kube/event_correlator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/rfc3339.h"
#include "common/base/text.h"
#include "common/json/access.h"

namespace muster::kube {
namespace {

constexpr std::size_t kRememberedMax = 4096;
constexpr std::size_t kMessageBytesMax = 1024;  // the API server refuses longer ones
constexpr int kAlikeMax = 10;
constexpr std::chrono::minutes kAlikeWindow{10};
constexpr double kBurst = 25;
constexpr double kTokensPerSecond = 1.0 / 300;

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

}  // namespace muster::kube
