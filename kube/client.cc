// kube/client.cc: verbs into requests, answers into objects, refusals into retries or errors
#include "kube/client.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/base64.h"
#include "common/platform/mutex.h"
#include "kube/api_error.h"
#include "kube/identity.h"
#include "kube/read_object.h"

namespace muster::kube {
namespace {

constexpr int kAttemptsMax = 10;                            // client-go's limit for answers with Retry-After
constexpr std::chrono::seconds kWatchMargin{10};            // beyond the server's own end of a watch
constexpr std::chrono::seconds kLogIdleTimeout{24 * 3600};  // a quiet log is no error
constexpr std::size_t kWarningsMax = 100;

const std::string& user_agent() {
  static const std::string kAgent = [] {
    utsname machine{};
    uname(&machine);
    return fmt::format("muster/{} (linux/{})", MUSTER_VERSION, machine.machine);
  }();
  return kAgent;
}

std::string_view propagation_name(Propagation propagation) {
  switch (propagation) {
    case Propagation::kBackground: return "Background";
    case Propagation::kForeground: return "Foreground";
    case Propagation::kOrphan: return "Orphan";
  }
  return "Background";
}

// Texts of pods, servers and proxies go into what we write: bytes that are no UTF-8 are replaced, not thrown
// at.
std::string to_body(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string describe(std::string_view verb, const Resource& resource, std::string_view ns,
                     std::string_view name) {
  std::string text = fmt::format("{} {}", verb, resource.kind);
  if (!name.empty()) text += fmt::format(" {}{}{}", ns, ns.empty() ? "" : "/", name);
  return text;
}

// For the retry: should this answer be waited for, and how long.
std::optional<std::chrono::seconds> wait_before_retry(const HttpResponse& answer) {
  if (answer.status != 429 && answer.status < 500) return std::nullopt;
  return parse_api_error(answer, std::chrono::system_clock::now()).retry_after;
}

void sleep_until_stop(const std::stop_token& stop, std::chrono::milliseconds span) {
  Mutex mutex;
  Condition wake;
  MutexLock lock(mutex);
  wake.wait_for(lock, stop, span, [] { return false; });
}

bool is_warning(std::string_view header) { return header == "Warning" || header == "warning"; }

// The sentence in `299 - "unknown field \"spec.x\""` (RFC 7234, 5.5).
std::string warning_text(const std::string& value) {
  const std::size_t open = value.find('"');
  const std::size_t close = value.rfind('"');
  if (open == std::string::npos || close <= open) return value;
  std::string text;
  for (std::size_t i = open + 1; i < close; ++i) {
    if (value[i] == '\\' && i + 1 < close) ++i;
    text += value[i];
  }
  return text;
}

// Whether a refused identity was thrown away and the request is worth another try: once.
bool renewed(const HttpResponse& answer, IdentitySource* identity, bool& asked_anew) {
  if (answer.status != 401 || identity == nullptr || std::exchange(asked_anew, true)) return false;
  identity->invalidate();
  return true;
}

}  // namespace

struct Client::State {
  Mutex mutex;
  std::set<std::string> warnings MUSTER_GUARDED_BY(mutex);
};

Client::Client(std::shared_ptr<HttpTransport> transport, std::shared_ptr<IdentitySource> identity,
               Options options)
    : transport_(std::move(transport)),
      identity_(std::move(identity)),
      options_(std::move(options)),
      state_(std::make_shared<State>()) {
  if (!options_.sleep) {
    options_.sleep = [stop = options_.stop](std::chrono::milliseconds span) { sleep_until_stop(stop, span); };
  }
}

Status Client::authorize(HttpRequest& request) {
  std::erase_if(request.headers, [](const auto& pair) { return pair.first == "Authorization"; });
  if (header(request.headers, "User-Agent").empty()) request.headers.emplace_back("User-Agent", user_agent());
  if (header(request.headers, "Accept").empty()) request.headers.emplace_back("Accept", "application/json");
  if (!identity_) return {};
  MUSTER_ASSIGN(const Identity identity, identity_->get());
  if (!identity.bearer_token.empty()) {
    request.headers.emplace_back("Authorization", "Bearer " + identity.bearer_token);
  } else if (!identity.username.empty()) {
    request.headers.emplace_back("Authorization",
                                 "Basic " + base64_encode(identity.username + ":" + identity.password));
  }
  return {};
}

void Client::observe(const HttpRequest& request, const Result<HttpResponse>& answer) {
  if (options_.on_answer)
    options_.on_answer(request.method, answer ? std::to_string(answer->status) : "<error>");
  if (!answer || !options_.on_warning) return;
  for (const auto& [name, value] : answer->headers) {
    if (!is_warning(name)) continue;
    const MutexLock lock(state_->mutex);
    if (state_->warnings.size() < kWarningsMax && state_->warnings.insert(value).second)
      options_.on_warning(value);
  }
}

Result<HttpResponse> Client::send(HttpRequest request) {
  const Deadline deadline = deadline_after(options_.request_timeout);
  auto budget = options_.request_timeout;  // of waiting, counted apart so that a fake sleep is bounded too
  bool asked_anew = false;
  for (int attempt = 1;; ++attempt) {
    MUSTER_TRY(authorize(request));
    Deadline limit = deadline;
    if (options_.may_write && request.method != "GET") {
      MUSTER_ASSIGN(const Deadline until, options_.may_write());
      limit = std::min(limit, until);
    }
    auto answer = transport_->send(request, limit);
    observe(request, answer);
    if (!answer) return answer;
    if (renewed(*answer, identity_.get(), asked_anew)) continue;
    const auto wait = wait_before_retry(*answer);
    if (!wait || attempt >= kAttemptsMax || *wait > budget) return answer;
    budget -= std::chrono::duration_cast<std::chrono::milliseconds>(*wait);
    if (!options_.stop.stop_requested()) options_.sleep(*wait);
    if (options_.stop.stop_requested()) return answer;
  }
}

Result<HttpResponse> Client::raw(HttpRequest request) {
  MUSTER_ASSIGN(HttpResponse answer, send(std::move(request)));
  if (answer.status >= 400) return to_error(parse_api_error(answer, std::chrono::system_clock::now()));
  return answer;
}

Result<Json> Client::send_json(HttpRequest request, std::string_view what,
                               std::vector<std::string>* warnings) {
  auto answer = raw(std::move(request));
  if (!answer) return answer.error().in(what);
  for (const auto& [name, value] : answer->headers)
    if (warnings != nullptr && is_warning(name)) warnings->push_back(warning_text(value));
  Json object = read_object(answer->body);
  if (!object.is_object()) {
    return data_loss(
        fmt::format("{}: the server's answer is not a JSON object; is this a Kubernetes API server?", what));
  }
  return object;
}

Result<Json> Client::get(const Resource& resource, std::string_view ns, std::string_view name) {
  HttpRequest request{
      .method = "GET", .target = resource_path(resource, ns, name), .headers = {}, .body = {}};
  return send_json(std::move(request), describe("get", resource, ns, name));
}

Result<ListPage> Client::list(const Resource& resource, std::string_view ns, const ListOptions& options) {
  MUSTER_ASSIGN(Json answer,
                send_json(list_request(resource, ns, options), describe("list", resource, ns, {})));
  ListPage page;
  if (const auto metadata = answer.find("metadata"); metadata != answer.end() && metadata->is_object()) {
    for (const auto& [name, out] :
         {std::pair{"resourceVersion", &page.resource_version}, {"continue", &page.continue_token}}) {
      if (const auto found = metadata->find(name); found != metadata->end() && found->is_string())
        *out = *found;
    }
  }
  if (const auto items = answer.find("items"); items != answer.end() && items->is_array()) {
    page.items.reserve(items->size());
    for (Json& item : *items) {
      if (!item.is_object()) continue;
      item["kind"] = resource.kind;  // items of a list carry neither
      item["apiVersion"] = resource.api_version();
      page.items.push_back(std::move(item));
    }
  }
  return page;
}

Result<ListPage> Client::list_all(const Resource& resource, std::string_view ns, ListOptions options) {
  if (options.limit == 0) options.limit = 500;
  bool restarted = false;
  ListPage all;
  while (true) {
    auto page = list(resource, ns, options);
    if (!page && page.error().code == Code::kOutOfRange && !restarted && !options.continue_token.empty()) {
      restarted = true;
      options.continue_token.clear();
      all.items.clear();
      continue;
    }
    if (!page) return page;
    std::move(page->items.begin(), page->items.end(), std::back_inserter(all.items));
    all.resource_version = page->resource_version;
    if (page->continue_token.empty()) return all;
    options.continue_token = page->continue_token;
  }
}

Result<Json> Client::create(const Resource& resource, std::string_view ns, const Json& object,
                            const CreateOptions& options, std::vector<std::string>* warnings) {
  HttpRequest request = create_request(resource, ns, options);
  request.body = to_body(object);
  return send_json(std::move(request),
                   describe("create", resource, ns, object.value(Json::json_pointer("/metadata/name"), "")),
                   warnings);
}

Result<Json> Client::replace(const Resource& resource, std::string_view ns, std::string_view name,
                             const Json& object, std::string_view subresource) {
  HttpRequest request{.method = "PUT",
                      .target = resource_path(resource, ns, name, subresource),
                      .headers = {{"Content-Type", "application/json"}},
                      .body = to_body(object)};
  return send_json(std::move(request), describe("replace", resource, ns, name));
}

Result<Json> Client::patch(const Resource& resource, std::string_view ns, std::string_view name,
                           PatchType type, const Json& body, const PatchOptions& options) {
  HttpRequest request = patch_request(resource, ns, name, type, options);
  request.body = to_body(body);
  return send_json(std::move(request), describe("patch", resource, ns, name));
}

Result<Json> Client::remove(const Resource& resource, std::string_view ns, std::string_view name,
                            const DeleteOptions& options) {
  Json body{{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty()) body["preconditions"]["resourceVersion"] = options.resource_version;
  if (options.propagation) body["propagationPolicy"] = propagation_name(*options.propagation);
  if (options.grace) body["gracePeriodSeconds"] = options.grace->count();
  HttpRequest request{.method = "DELETE",
                      .target = resource_path(resource, ns, name),
                      .headers = {{"Content-Type", "application/json"}},
                      .body = to_body(body)};
  return send_json(std::move(request), describe("delete", resource, ns, name));
}

Result<HttpResponse> Client::open_stream(HttpRequest request, const StreamOptions& options,
                                         const std::function<bool(std::string_view)>& on_bytes) {
  bool asked_anew = false;
  while (true) {
    MUSTER_TRY(authorize(request));
    auto answer = transport_->stream(request, options, on_bytes);
    observe(request, answer);
    if (!answer) return answer;
    if (renewed(*answer, identity_.get(), asked_anew)) continue;
    if (answer->status >= 400) return to_error(parse_api_error(*answer, std::chrono::system_clock::now()));
    return answer;
  }
}

Status Client::watch(const Resource& resource, std::string_view ns, const WatchOptions& options,
                     const std::stop_token& stop, const std::function<bool(WatchEvent)>& on_event) {
  WatchDecoder decoder;
  Status outcome;
  const auto deliver = [&](WatchEvent event) {
    if (event.type != WatchEvent::Type::kError) return on_event(std::move(event));
    outcome = to_error(parse_api_status(event.object));
    return false;
  };
  const auto feed = [&](std::string_view bytes) {
    auto more = decoder.feed(bytes, deliver);
    if (!more) outcome = more.error();
    return more && *more;
  };
  const StreamOptions stream{.idle_timeout = options.timeout + kWatchMargin, .stop = stop};
  const auto answer = open_stream(watch_request(resource, ns, options), stream, feed);
  if (outcome && answer) decoder.finish(deliver);
  if (!outcome) return outcome.error().in(describe("watch", resource, ns, {}));
  if (!answer) return answer.error().in(describe("watch", resource, ns, {}));
  return {};
}

Status Client::logs(std::string_view ns, std::string_view pod, const LogOptions& options,
                    const std::stop_token& stop, const std::function<bool(std::string_view)>& on_bytes) {
  const StreamOptions stream{
      .idle_timeout = options.follow ? std::chrono::milliseconds(kLogIdleTimeout) : options_.request_timeout,
      .stop = stop};
  HttpRequest request = log_request(ns, pod, options);
  request.headers.emplace_back("Accept", "*/*");
  const auto answer = open_stream(std::move(request), stream, on_bytes);
  if (!answer) return answer.error().in(describe("logs of", kPods, ns, pod));
  return {};
}

}  // namespace muster::kube
