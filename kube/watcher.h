#pragma once  // kube/watcher.h: list, watch, and start over, as a machine without I/O: events in, effects out
#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/json/fields.h"
#include "kube/watch_decoder.h"

namespace muster::kube {

// --- what happened ---
struct PageListed {
  std::vector<Json> items;
  std::string resource_version;
  std::string continue_token;
};
struct ListFailed {
  Error error;
};
struct EventSeen {
  WatchEvent event;
};
struct WatchEnded {
  std::optional<Error> error;
};  // none: the server closed it in good order
struct WaitOver {};
using WatcherEvent = std::variant<PageListed, ListFailed, EventSeen, WatchEnded, WaitOver>;

// --- what to do; the last effect of a step, if any, is the next request or wait ---
struct ListNext {
  std::string continue_token;
  std::string resource_version;
};
struct WatchNext {
  std::string resource_version;
  std::chrono::seconds timeout;
};
struct WaitFor {
  std::chrono::milliseconds delay;
};
struct Replace {
  std::vector<Json> objects;
  std::string resource_version;
};  // the whole world as of this version, from a complete list
struct Upsert {
  Json object;
};
struct Remove {
  Json object;
};
struct Problem {
  Error error;
};  // for the log
using WatcherEffect = std::variant<ListNext, WatchNext, WaitFor, Replace, Upsert, Remove, Problem>;

// Follows one collection as client-go's reflector does. Not thread-safe; the same seed and events give the
// same effects. A 410, as an HTTP status or an ERROR event, lists again at the last version, and if that is
// refused too, at the newest. Connection errors and 429 open the watch again without a list. Waits grow 0.8 s
// .. 30 s with jitter and fall back after a healthy minute.
class Watcher {
 public:
  struct Options {
    BackoffOptions backoff;
    // Each watch asks for min .. 2 min, so that they do not end together. Short, for nothing else ends one
    // whose link has died without a word: cpprestsdk lets nobody set keepalive before it connects.
    std::chrono::seconds watch_timeout_min{60};
    std::uint64_t seed = 1;
  };
  explicit Watcher(Options options);

  [[nodiscard]] std::vector<WatcherEffect> start();
  [[nodiscard]] std::vector<WatcherEffect> step(WatcherEvent event, Instant now);
  [[nodiscard]] bool synced() const { return synced_; }  // a whole list has been seen
  [[nodiscard]] const std::string& resource_version() const { return version_; }

 private:
  enum class State { kIdle, kListing, kWatching, kWaiting };
  using Effects = std::vector<WatcherEffect>;
  Effects on(PageListed page, Instant now);
  Effects on(const ListFailed& failure, Instant now);
  Effects on(EventSeen seen, Instant now);
  Effects on(const WatchEnded& end, Instant now);
  Effects on(const WaitOver& over, Instant now);
  void wait_then(State next, Effects& effects);
  void relist(Effects& effects, bool newest);
  void open_watch(Effects& effects, Instant now);

  Options options_;
  Backoff backoff_;
  Random random_;
  State state_ = State::kIdle;
  State after_wait_ = State::kListing;
  std::vector<Json> pages_;
  std::string version_;
  std::string list_version_;
  std::optional<Error> stream_error_;
  Instant watch_since_{};
  std::uint64_t events_in_watch_ = 0;
  int expired_in_row_ = 0;
  bool synced_ = false;
};

}  // namespace muster::kube
