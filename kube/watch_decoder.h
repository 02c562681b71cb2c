#pragma once  // kube/watch_decoder.h: the bytes of a watch, however they were cut, into events. Pure
#include <functional>
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster::kube {

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kAdded;
  Json object;  // of kError: a Status
};

// Feeds on newline-separated JSON values. Not thread-safe. After an error it must be thrown away.
class WatchDecoder {
 public:
  static constexpr std::size_t kEventBytesMax = 16U << 20U;  // ten times the largest object etcd takes

  explicit WatchDecoder(std::size_t event_bytes_max = kEventBytesMax) : event_bytes_max_(event_bytes_max) {}

  // Calls `on_event` for each event completed by `bytes`, in order; false from it stops and is returned.
  // Events of an unknown type are skipped. Errors: kDataLoss: not a watch event. kResourceExhausted: an event
  // past the limit.
  [[nodiscard]] Result<bool> feed(std::string_view bytes, const std::function<bool(WatchEvent)>& on_event);
  // The stream has ended: a last event without a newline counts; half an event is dropped, for the watch is
  // opened again from the last version seen.
  void finish(const std::function<bool(WatchEvent)>& on_event);

 private:
  [[nodiscard]] Result<bool> line(std::string_view text,
                                  const std::function<bool(WatchEvent)>& on_event) const;

  std::size_t event_bytes_max_;
  std::string pending_;
};

}  // namespace muster::kube
