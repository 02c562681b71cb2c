// local/api/http_read.cc: lists in pages, and watches
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "local/api/http_call.h"
#include "local/api/list_options.h"
#include "local/api/watch_stream.h"

namespace muster::local {
namespace {

constexpr const char* kListExpired = "The resourceVersion for the provided list is too old.";
constexpr const char* kContinueExpired =
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list.";

ApiError too_large(std::uint64_t wanted, std::uint64_t current) {
  ApiError error =
      ApiError::timeout(fmt::format("Too large resource version: {}, current: {}", wanted, current));
  error.details = Json{{"causes", Json::array({Json{{"reason", "ResourceVersionTooLarge"},
                                                    {"message", "Too large resource version"}}})}};
  error.retry_after_seconds = 1;
  return error;
}

// The key of an object, relative to a list of `ns` ("": of all namespaces).
std::string key_in(const std::string& ns, const StoredObject& object) {
  return ns.empty() && !object.ns.empty() ? object.ns + "/" + object.name : object.name;
}

struct Page {
  std::vector<ObjectPtr> objects;
  ListMeta meta;
};

// Objects from `start` on; the rest, if there is any, is told by a continue token.
Page cut_page(const ObjectList& all, const std::string& ns, const ListOptions& options,
              const std::string& start) {
  Page page;
  page.meta.version = all.version;
  const auto before = [&](const ObjectPtr& object, const std::string& key) {
    return key_in(ns, *object) < key;
  };
  const auto first = std::lower_bound(all.objects.begin(), all.objects.end(), start, before);
  for (auto it = first; it != all.objects.end(); ++it) {
    if (!options.selector.matches(**it)) continue;
    page.objects.push_back(*it);
    if (options.limit == 0 || static_cast<std::int64_t>(page.objects.size()) < options.limit) continue;
    if (it + 1 == all.objects.end()) break;
    page.meta.next = encode_continue(
        ContinueToken{static_cast<std::int64_t>(all.version), key_in(ns, **it) + std::string(1, '\0')});
    if (options.selector.everything()) page.meta.remaining = all.objects.end() - first - options.limit;
    break;
  }
  return page;
}

// The list that the versions of the query are about.
ApiResult<ObjectList> list_of(const ObjectStore& store, const std::string& resource, const std::string& ns,
                              const ListOptions& options, const std::optional<ContinueToken>& token) {
  const std::string& text = options.resource_version;
  if (token && !text.empty() && text != "0")
    return ApiError::bad_request("specifying resource version is not allowed when using continue");
  const auto wanted = parse_resource_version(text);
  if (!wanted) return ApiError::bad_request("invalid resource version: " + wanted.error().message);
  std::uint64_t exact = token && token->version > 0 ? static_cast<std::uint64_t>(token->version) : 0;
  const bool first_page = options.match.empty() && options.limit > 0 && !token;
  if (options.match == "Exact" || first_page) exact = std::max(exact, *wanted);
  if (exact == 0) {
    ObjectList now = store.list(resource, ns);
    if (*wanted > now.version) return too_large(*wanted, now.version);
    return now;
  }
  auto then = store.list_at(resource, ns, exact);
  if (then) return *std::move(then);
  if (then.error().code != Code::kOutOfRange) return too_large(exact, store.version());
  ApiError expired = ApiError::expired(token ? kContinueExpired : kListExpired);
  if (token) expired.next = encode_continue(ContinueToken{-1, token->start});
  return expired;
}

// Between half an hour and an hour, so that clients do not all come back at once.
std::chrono::seconds default_timeout() {
  thread_local std::minstd_rand random(std::random_device{}());
  return std::chrono::seconds(std::uniform_int_distribution<int>(1800, 3599)(random));
}

}  // namespace

ApiResult<HttpResponse> HttpApi::get(Call& call) {
  if (auto fits = check_partial(*call.kind, call.format, false); !fits) return fits.error();
  const auto version = parse_resource_version(call.request.parameter("resourceVersion"));
  if (!version) return ApiError::bad_request("invalid resource version: " + version.error().message);
  if (*version > store_.version()) return too_large(*version, store_.version());
  const ObjectPtr object = store_.get(call.kind->storage(), call.target.ns, call.target.name);
  if (!object) return ApiError::not_found(call.kind->resource(), call.target.name);
  HttpResponse response;
  if (call.format.kind == Format::Kind::kPlain && !call.format.pretty) {
    response.body = object_text(*call.kind, *object);
    return response;
  }
  auto json = rest_.get(*call.kind, call.target.ns, call.target.name);
  if (!json) return json.error();
  return call.object(*json);
}

ApiResult<HttpResponse> HttpApi::list(Call& call) {
  auto options = parse_list_options(call.request, *call.kind, "", false);
  if (!options) return options.error();
  if (options->resource_version == "0") options->limit = 0;  // such lists are never cut
  std::optional<ContinueToken> token;
  if (!options->continue_token.empty()) {
    auto decoded = decode_continue(options->continue_token);
    if (!decoded) return decoded.error();
    token = std::move(*decoded);
  }
  const std::string& ns = call.target.ns;
  const bool one = !options->selector.name().empty() && (!ns.empty() || !call.kind->namespaced);
  if (one && !token) options->limit = 0;  // one object by its name is no page of a list
  const auto all = list_of(store_, call.kind->storage(), ns, *options, token);
  if (!all) return all.error();
  if (auto fits = check_partial(*call.kind, call.format, true); !fits) return fits.error();
  const Page page = cut_page(*all, ns, *options, token ? token->start : "");
  HttpResponse response;
  response.body = render_list(*call.kind, page.objects, page.meta, call.format);
  return response;
}

ApiResult<HttpResponse> HttpApi::watch(Call& call) {
  auto parsed = parse_list_options(call.request, *call.kind, call.target.name, call.target.watch_path,
                                   options_.watch_list);
  if (!parsed) return parsed.error();
  if (call.format.yaml)
    return ApiError{406,
                    "NotAcceptable",
                    "only the following media types are accepted: application/json;stream=watch",
                    {}};
  const auto asked = parse_resource_version(parsed->resource_version);
  if (!asked) return asked.error();
  const std::string resource = call.kind->storage();
  std::uint64_t version = *asked;
  WatchOptions options;
  options.kind = call.kind;
  options.selector = std::move(parsed->selector);
  options.format = call.format;
  options.bookmarks = parsed->bookmarks;
  options.timeout = parsed->timeout_seconds > 0
                        ? std::chrono::seconds(std::min<std::int64_t>(parsed->timeout_seconds, 86400))
                        : default_timeout();
  options.initial_events_end = parsed->bookmarks && parsed->initial_events.value_or(false);
  std::vector<ObjectPtr> existing;
  if (parsed->initial_events.value_or(version == 0)) {
    ObjectList all = store_.list(resource, call.target.ns);
    if (version > all.version) return too_large(version, all.version);
    version = all.version;
    for (ObjectPtr& object : all.objects)
      if (options.selector.matches(*object)) existing.push_back(std::move(object));
  }
  if (version == 0) version = store_.version();  // no initial events: what comes from now on
  HttpResponse response;
  auto cursor = store_.watch(resource, call.target.ns, version);
  if (!cursor && cursor.error().code == Code::kOutOfRange) {
    response.body = render_error_event(ApiError::expired(cursor.error().message));
    return response;
  }
  if (!cursor && cursor.error().code == Code::kDeadlineExceeded) return too_large(version, store_.version());
  if (!cursor) return ApiError{503, "ServiceUnavailable", cursor.error().message, {}};
  auto stream =
      std::make_shared<WatchStream>(std::move(options), std::move(existing), std::move(*cursor), timers_);
  remember(stream);
  response.stream = std::move(stream);
  return response;
}

}  // namespace muster::local
