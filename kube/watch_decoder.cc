// kube/watch_decoder.cc: lines of a watch into events
#include "kube/watch_decoder.h"

#include <fmt/format.h>

#include <optional>

#include "kube/read_object.h"

namespace muster::kube {
namespace {

std::optional<WatchEvent::Type> type_of(const std::string& name) {
  if (name == "ADDED") return WatchEvent::Type::kAdded;
  if (name == "MODIFIED") return WatchEvent::Type::kModified;
  if (name == "DELETED") return WatchEvent::Type::kDeleted;
  if (name == "BOOKMARK") return WatchEvent::Type::kBookmark;
  if (name == "ERROR") return WatchEvent::Type::kError;
  return std::nullopt;
}

}  // namespace

Result<bool> WatchDecoder::line(std::string_view text,
                                const std::function<bool(WatchEvent)>& on_event) const {
  if (text.find_first_not_of(" \t\r") == std::string_view::npos) return true;
  Json value = read_object(text);
  if (!value.is_object() || !value.contains("type") || !value["type"].is_string() ||
      !value.contains("object") || !value["object"].is_object()) {
    return data_loss(fmt::format("the server sent a watch event that is not {{\"type\", \"object\"}}: {:.80}",
                                 std::string(text.substr(0, 80))));
  }
  const auto type = type_of(value["type"].get_ref<const std::string&>());
  if (!type) return true;
  return on_event(WatchEvent{.type = *type, .object = std::move(value["object"])});
}

Result<bool> WatchDecoder::feed(std::string_view bytes, const std::function<bool(WatchEvent)>& on_event) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view part = bytes.substr(0, newline);
    if (pending_.size() + part.size() > event_bytes_max_) {
      return resource_exhausted(fmt::format("a watch event is larger than {} bytes", event_bytes_max_));
    }
    if (newline == std::string_view::npos) {
      pending_ += part;
      return true;
    }
    bytes.remove_prefix(newline + 1);
    Result<bool> more = true;
    if (pending_.empty()) {
      more = line(part, on_event);
    } else {
      pending_ += part;
      more = line(pending_, on_event);
      pending_ = std::string();  // gives the memory of a large event back
    }
    if (!more || !*more) return more;
  }
  return true;
}

void WatchDecoder::finish(const std::function<bool(WatchEvent)>& on_event) {
  if (!pending_.empty() && Json::accept(pending_)) static_cast<void>(line(pending_, on_event));
  pending_.clear();
}

}  // namespace muster::kube
