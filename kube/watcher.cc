// kube/watcher.cc: the states of a reflector
#include "kube/watcher.h"

#include <iterator>

#include "common/json/access.h"
#include "kube/api_error.h"

namespace muster::kube {
namespace {

constexpr std::chrono::minutes kHealthyAfter{1};   // the shortest whole watch: then the backoff starts over
constexpr std::chrono::seconds kSuspiciousEnd{1};  // a watch that ends sooner and empty is an error

std::string version_of(const Json& object) { return meta_text(object, "resourceVersion"); }

bool is_expired(const Error& error) { return error.code == Code::kOutOfRange; }

}  // namespace

Watcher::Watcher(Options options)
    : options_(options), backoff_(options.backoff, options.seed), random_(hash_key(options.seed, 1)) {}

std::vector<WatcherEffect> Watcher::start() {
  Effects effects;
  relist(effects, false);
  return effects;
}

std::vector<WatcherEffect> Watcher::step(WatcherEvent event, Instant now) {
  return std::visit([&](auto&& what) { return on(std::forward<decltype(what)>(what), now); },
                    std::move(event));
}

// The first list takes any version the server has at hand; later ones nothing older than what we have seen.
void Watcher::relist(Effects& effects, bool newest) {
  pages_.clear();
  state_ = State::kListing;
  list_version_ = newest ? std::string() : version_;
  effects.emplace_back(ListNext{.continue_token = {}, .resource_version = list_version_});
}

void Watcher::open_watch(Effects& effects, Instant now) {
  state_ = State::kWatching;
  watch_since_ = now;
  events_in_watch_ = 0;
  stream_error_.reset();
  const auto span = static_cast<std::uint64_t>(options_.watch_timeout_min.count());
  const auto extra = static_cast<std::int64_t>(random_.below(span + 1));
  effects.emplace_back(WatchNext{.resource_version = version_,
                                 .timeout = options_.watch_timeout_min + std::chrono::seconds(extra)});
}

void Watcher::wait_then(State next, Effects& effects) {
  state_ = State::kWaiting;
  after_wait_ = next;
  effects.emplace_back(WaitFor{backoff_.next()});
}

Watcher::Effects Watcher::on(PageListed page, Instant now) {
  if (state_ != State::kListing) return {};
  std::move(page.items.begin(), page.items.end(), std::back_inserter(pages_));
  Effects effects;
  if (!page.continue_token.empty()) {
    effects.emplace_back(ListNext{.continue_token = std::move(page.continue_token), .resource_version = {}});
    return effects;
  }
  version_ = std::move(page.resource_version);
  effects.emplace_back(Replace{std::exchange(pages_, {}), version_});
  synced_ = true;
  open_watch(effects, now);
  return effects;
}

Watcher::Effects Watcher::on(const ListFailed& failure, Instant) {
  if (state_ != State::kListing) return {};
  Effects effects;
  const bool pages_expired = !pages_.empty();
  if (is_expired(failure.error) && (pages_expired || !list_version_.empty())) {
    relist(effects, true);  // a page's token or the version is too old (or from the future): take the newest
    return effects;
  }
  pages_.clear();
  effects.emplace_back(Problem{failure.error.in("list")});
  wait_then(State::kListing, effects);
  return effects;
}

Watcher::Effects Watcher::on(EventSeen seen, Instant) {
  if (state_ != State::kWatching) return {};
  Effects effects;
  if (seen.event.type == WatchEvent::Type::kError) {
    stream_error_ =
        to_error(parse_api_status(seen.event.object));  // judged when the stream ends, which is now
    return effects;
  }
  ++events_in_watch_;
  expired_in_row_ = 0;
  if (std::string version = version_of(seen.event.object); !version.empty()) version_ = std::move(version);
  switch (seen.event.type) {
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified: effects.emplace_back(Upsert{std::move(seen.event.object)}); break;
    case WatchEvent::Type::kDeleted: effects.emplace_back(Remove{std::move(seen.event.object)}); break;
    default: break;  // a bookmark moves the version, no more
  }
  return effects;
}

Watcher::Effects Watcher::on(const WatchEnded& end, Instant now) {
  if (state_ != State::kWatching) return {};
  Effects effects;
  if (now - watch_since_ >= kHealthyAfter) backoff_.reset();
  const std::optional<Error> error = stream_error_ ? stream_error_ : end.error;
  if (error && is_expired(*error)) {
    if (++expired_in_row_ == 1) {
      relist(effects, false);
    } else {  // a server that refuses what it has just listed must not be asked in a tight loop
      effects.emplace_back(Problem{error->in("watch")});
      wait_then(State::kListing, effects);
    }
    return effects;
  }
  if (error && error->code == Code::kDeadlineExceeded &&
      now - watch_since_ >= kSuspiciousEnd) {  // the silent link: nothing was lost, open it again
    effects.emplace_back(Problem{error->in("watch")});
    open_watch(effects, now);
    return effects;
  }
  if (error) {
    effects.emplace_back(Problem{error->in("watch")});
    wait_then(State::kWatching, effects);
    return effects;
  }
  if (events_in_watch_ == 0 && now - watch_since_ < kSuspiciousEnd) {
    wait_then(State::kWatching, effects);
    return effects;
  }
  open_watch(effects, now);
  return effects;
}

Watcher::Effects Watcher::on(const WaitOver&, Instant now) {
  if (state_ != State::kWaiting) return {};
  Effects effects;
  if (after_wait_ == State::kListing) {
    relist(effects, list_version_.empty());
  } else {
    open_watch(effects, now);
  }
  return effects;
}

}  // namespace muster::kube
