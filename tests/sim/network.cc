// tests/sim/network.cc: requests and watches with what can befall them on the way
#include "network.h"

#include <fmt/format.h>

#include <algorithm>

#include "objects.h"

namespace muster::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t number(const std::map<std::string, std::string>& query, const std::string& name) {
  const auto found = query.find(name);
  return found == query.end() ? 0 : to_number(found->second);
}

const Error& reset() {
  static const Error kReset = unavailable("connection reset by peer");
  return kReset;
}

std::string expired_event() {
  return R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired",)"
         R"("message":"too old resource version"}})"
         "\n";
}

}  // namespace

class Network::Transport final : public kube::HttpTransport {
 public:
  Transport(Network& network, std::shared_ptr<Link> link) : network_(network), link_(std::move(link)) {}

  Result<kube::HttpResponse> send(const kube::HttpRequest& request, Deadline deadline) override {
    if (!link_->alive) return reset();
    const ApiRequest parsed = parse_request(request);
    const Nanos begun = network_.threads_.now();
    if (parsed.is_write()) network_.begin(*link_, parsed);
    if (!link_->alive) return reset();
    auto call = std::make_shared<Call>();
    network_.dispatch(link_, begun, parsed, request.body, call);
    link_->waits.push_back(call.get());
    while (!call->done && link_->alive) {
      if (network_.threads_.wait(call.get(), deadline.time_since_epoch())) continue;
      if (!call->done) call->answer = deadline_exceeded("no answer within the deadline");
      break;
    }
    std::erase(link_->waits, call.get());
    if (!link_->alive) return reset();
    return call->answer;
  }

  Result<kube::HttpResponse> stream(const kube::HttpRequest& request, const kube::StreamOptions& options,
                                    const std::function<bool(std::string_view)>& on_bytes) override {
    if (!link_->alive) return reset();
    auto watch = std::make_shared<Watch>();
    watch->link = link_;
    network_.open(watch, request);
    link_->waits.push_back(watch.get());
    const std::stop_callback wake(options.stop, [&] { network_.threads_.wake(watch.get()); });
    auto result = follow(*watch, options, on_bytes);
    watch->closed = true;
    std::erase(link_->waits, watch.get());
    return result;
  }

 private:
  Result<kube::HttpResponse> follow(Watch& watch, const kube::StreamOptions& options,
                                    const std::function<bool(std::string_view)>& on_bytes) {
    Nanos last = network_.threads_.now();
    while (true) {
      if (!link_->alive) return reset();
      if (options.stop.stop_requested()) return Error{Code::kCancelled, "stopped"};
      if (!watch.inbox.empty()) {
        const std::string bytes = std::move(watch.inbox.front());
        watch.inbox.pop_front();
        last = network_.threads_.now();
        if (!on_bytes(bytes)) return kube::HttpResponse{.status = 200, .headers = {}, .body = {}};
        continue;
      }
      if (watch.ended) return watch.end;
      if (!network_.threads_.wait(&watch, last + options.idle_timeout) && watch.inbox.empty() && !watch.ended)
        return deadline_exceeded("the stream is silent");
    }
  }

  Network& network_;
  std::shared_ptr<Link> link_;
};

Network::Network(VirtualThreads& threads, ApiStore& store, Faults& faults, std::uint64_t seed)
    : threads_(threads), store_(store), faults_(faults), random_(seed) {
  store_.listen([this](const std::string& resource, const Json*, const Json*) { changed(resource); });
}

std::shared_ptr<kube::HttpTransport> Network::connect(std::shared_ptr<Link> link) {
  return std::make_shared<Transport>(*this, std::move(link));
}

void Network::cut(Link& link) {
  link.alive = false;
  for (const void* wait : std::vector(link.waits)) threads_.wake(wait);
}

void Network::set_down(Nanos until) {
  down_until_ = until;
  for (const auto& watch : std::vector(watches_)) end(watch, reset());
}

void Network::withdraw_a_right(Nanos until) {
  constexpr std::pair<const char*, const char*> kRights[] = {
      {"create", "pods"},           {"delete", "pods"},           {"list", "pods"},
      {"create", "secrets"},        {"create", "events"},         {"create", "services"},
      {"patch", "distributedjobs"}, {"patch", "federatedrounds"}, {"get", "nodes"}};
  const auto& [verb, resource] = kRights[random_.below(std::size(kRights))];
  withdrawn_verb_ = verb;
  withdrawn_resource_ = resource;
  withdrawn_until_ = until;
}

Nanos Network::latency() {
  return milliseconds(1) + up_to(random_, milliseconds(faults_.strikes(Fault::kSlowAnswer) ? 3000 : 4));
}

void Network::complete(const std::shared_ptr<Call>& call, Result<kube::HttpResponse> answer, Nanos after) {
  threads_.after(after, [this, call, answer = std::move(answer)] {
    call->done = true;
    call->answer = answer;
    threads_.wake(call.get());
  });
}

// A process may be stopped between its decision to write and the system call.
void Network::begin(const Link& link, const ApiRequest& request) {
  if (on_begin) on_begin(link, request);
  if (!on_freeze || !faults_.strikes(Fault::kOperatorFrozenAtWrite)) return;
  on_freeze(link);
  threads_.wait(&link, threads_.now());
}

// What the client hears when nothing has been done.
bool Network::fail_early(const Link& link, const ApiRequest& request, const std::shared_ptr<Call>& call) {
  if (threads_.now() < link.cut_off_until) return true;  // nothing: its own deadline ends the wait
  if (threads_.now() < down_until_ || faults_.strikes(Fault::kConnectionRefused)) {
    complete(call, unavailable("connection refused"), latency());
  } else if (faults_.strikes(Fault::kTooManyRequests)) {
    auto answer = answer_with({429, "TooManyRequests", "too many requests"});
    answer.headers.emplace_back("Retry-After", std::to_string(1 + random_.below(3)));
    complete(call, std::move(answer), latency());
  } else if (faults_.strikes(Fault::kServerError)) {
    constexpr int kCodes[] = {500, 503, 504};
    complete(call, answer_with({kCodes[random_.below(3)], "InternalError", "etcdserver: leader changed"}),
             latency());
  } else if (request.verb == "create" && request.resource == "pods" && threads_.now() < quota_until_) {
    complete(call, answer_with({403, "Forbidden", "exceeded quota: pods"}), latency());
  } else if (threads_.now() < withdrawn_until_ && request.verb == withdrawn_verb_ &&
             request.resource == withdrawn_resource_) {
    faults_.seen("HTTP 403 for a right");
    complete(call,
             answer_with(
                 {403, "Forbidden",
                  fmt::format("User \"muster\" cannot {} resource \"{}\"", request.verb, request.resource)}),
             latency());
  } else {
    return false;
  }
  return true;
}

kube::HttpResponse Network::judge(const Link& link, Nanos begun, const ApiRequest& request,
                                  const std::string& body) {
  std::uint64_t as_of = store_.version();
  const std::uint64_t wanted = number(request.query, "resourceVersion");
  const std::uint64_t oldest = std::max(wanted, store_.compacted(request.resource));
  if (request.verb == "list" && wanted > 0 && oldest < as_of && faults_.strikes(Fault::kStaleList))
    as_of = oldest + random_.below(as_of - oldest + 1);
  if (request.is_write() && on_arrival) on_arrival(request);
  auto answer = serve(store_, request, body, as_of);
  faults_.seen("HTTP " + std::to_string(answer.status));
  if (request.is_write() && on_write)
    on_write({.replica = link.replica, .begun = begun, .request = request, .status = answer.status});
  return answer;
}

void Network::dispatch(const std::shared_ptr<Link>& link, Nanos begun, const ApiRequest& request,
                       const std::string& body, const std::shared_ptr<Call>& call) {
  if (fail_early(*link, request, call)) return;
  Nanos arrives = latency();
  bool answered = true;
  if (request.is_write()) {
    if (faults_.strikes(Fault::kTimeoutAfterCommit)) {
      answered = false;
    } else if (faults_.strikes(Fault::kLostAfterCommit)) {
      answered = false;
      complete(call, reset(), arrives + latency());
    } else if (faults_.strikes(Fault::kLateDelivery)) {
      answered = false;
      complete(call, reset(), arrives);
      arrives += up_to(random_, seconds(20));
    }
  }
  const bool crashes = request.is_write() && faults_.strikes(Fault::kOperatorCrashAtWrite);
  threads_.after(arrives, [=, this] {
    auto answer = judge(*link, begun, request, body);
    if (crashes && link->alive && on_crash) return on_crash(*link);
    if (answered) complete(call, std::move(answer), latency());
  });
}

void Network::open(const std::shared_ptr<Watch>& watch, const kube::HttpRequest& sent) {
  const ApiRequest request = parse_request(sent);
  watch->resource = request.resource;
  watch->selective = request.query.contains("labelSelector");
  watch->position = number(request.query, "resourceVersion");
  const auto lasts = seconds(number(request.query, "timeoutSeconds"));
  threads_.after(latency(), [=, this] {
    if (threads_.now() < std::max(down_until_, watch->link->cut_off_until) ||
        faults_.strikes(Fault::kConnectionRefused))
      return end(watch, unavailable("connection refused"));
    if (faults_.strikes(Fault::kTooManyRequests))
      return end(watch, answer_with({429, "TooManyRequests", "too many requests"}));
    if (watch->position > store_.version())
      return end(watch, answer_with({504, "Timeout", "Too large resource version"}));
    watches_.push_back(watch);
    pump_later(watch);
    threads_.after(
        lasts, [this, watch] { end(watch, kube::HttpResponse{.status = 200, .headers = {}, .body = {}}); });
  });
}

void Network::changed(const std::string& resource) {
  for (const auto& watch : watches_)
    if (watch->resource == resource) pump_later(watch);
}

void Network::pump_later(const std::shared_ptr<Watch>& watch) {
  if (watch->pumping || watch->ended) return;
  watch->pumping = true;
  watch->stalled_until = std::max(watch->stalled_until, watch->link->cut_off_until);
  if (faults_.strikes(Fault::kWatchDelayed))
    watch->stalled_until = threads_.now() + up_to(random_, seconds(random_.below(4) == 0 ? 40 : 4));
  threads_.at(std::max(threads_.now() + latency(), watch->stalled_until), [this, watch] { pump(watch); });
}

// Does the replica now hear of something that came after what another kind's watch has not told yet?
void Network::note_order(const Watch& watch) {
  for (const auto& other : watches_) {
    if (other->link != watch.link || other->resource == watch.resource) continue;
    const StoredEvent* pending = store_.event_after(other->resource, other->position);
    if (pending != nullptr && pending->version < watch.position) return faults_.seen("kinds out of order");
  }
}

void Network::pump(const std::shared_ptr<Watch>& watch) {
  watch->pumping = false;
  if (watch->ended || watch->closed) return end(watch, reset());
  if (faults_.strikes(Fault::kWatchExpired)) store_.compact();
  if (store_.is_compacted(watch->resource, watch->position)) {
    watch->inbox.push_back(expired_event());
    faults_.seen("watch expired");
    return end(watch, kube::HttpResponse{.status = 200, .headers = {}, .body = {}});
  }
  std::string text;
  while (const StoredEvent* event = store_.event_after(watch->resource, watch->position)) {
    watch->position = event->version;
    if (watch->selective && !event->managed) continue;
    text += fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", event->type, event->text);
    if (faults_.strikes(Fault::kWatchCut)) {
      watch->inbox.push_back(std::move(text));
      return end(watch, random_.below(2) == 0 ? Result<kube::HttpResponse>(reset()) : watch->end);
    }
  }
  note_order(*watch);
  if (!text.empty() && faults_.strikes(Fault::kWatchCutInEvent)) {
    watch->inbox.push_back(text.substr(0, random_.below(text.size())));
    return end(watch, random_.below(2) == 0 ? Result<kube::HttpResponse>(reset()) : watch->end);
  }
  if (text.empty() && !watch->inbox.empty()) return;
  if (!text.empty()) watch->inbox.push_back(std::move(text));
  threads_.wake(watch.get());
}

void Network::end(const std::shared_ptr<Watch>& watch, Result<kube::HttpResponse> how) {
  std::erase(watches_, watch);
  if (watch->ended) return;
  watch->ended = true;
  watch->end = std::move(how);
  threads_.wake(watch.get());
}

}  // namespace muster::sim
