// local/api/http_read.cc: lists in pages, and watches
#include <fmt/format.h>

#include <charconv>

#include "local/api/base64.h"
#include "local/api/http_call.h"
#include "local/api/watch_stream.h"

namespace muster::local {
namespace {

struct Continue {
  std::uint64_t version = 0;
  std::string after;  // "namespace/name" of the last object of the page before
};

std::string encode(const Continue& token) {
  return base64_encode(Json{{"v", "meta.k8s.io/v1"}, {"rv", token.version}, {"start", token.after}}.dump());
}

ApiResult<Continue> decode(std::string_view text) {
  const auto bytes = base64_decode(text);
  const Json json = bytes ? Json::parse(*bytes, nullptr, false) : Json();
  if (!json.is_object() || text_of(json, "v") != "meta.k8s.io/v1" || !json.contains("rv") ||
      !json["rv"].is_number_unsigned())
    return ApiError::bad_request("invalid continue token: continue key is not valid");
  return Continue{json["rv"].get<std::uint64_t>(), text_of(json, "start")};
}

ApiResult<std::uint64_t> parse_version(std::string_view text) {
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc{} || end != text.data() + text.size())
    return ApiError{
        400,
        "",
        fmt::format("resourceVersion: Invalid value: {}: strconv.ParseUint: parsing {}: invalid syntax",
                    go_quote(text), go_quote(text)),
        {}};
  return version;
}

ApiResult<std::int64_t> parse_number(const HttpRequest& request, const char* name) {
  const std::string_view text = request.parameter(name);
  std::int64_t number = 0;
  if (text.empty()) return number;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0)
    return ApiError::bad_request(
        fmt::format("{} must be a whole number that is not negative, not {}", name, go_quote(text)));
  return number;
}

constexpr const char* kSendInitialEvents =
    "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature "
    "gate is enabled";

ApiStatus check_list_options(const HttpRequest& request, bool watching) {
  const std::string_view match = request.parameter("resourceVersionMatch");
  const std::string_view version = request.parameter("resourceVersion");
  const bool initial_events = request.has_parameter("sendInitialEvents");
  const auto invalid = [](const std::string& what) {
    const auto colon = what.find(": ");
    const bool forbidden = what.find("Forbidden") != std::string::npos;
    return ApiError::invalid("ListOptions.meta.k8s.io", "",
                             {{forbidden ? "FieldValueForbidden" : "FieldValueNotSupported",
                               what.substr(0, colon), what.substr(colon + 2)}});
  };
  if (watching && initial_events) {
    ApiError error = ApiError::invalid(
        "ListOptions.meta.k8s.io", "",
        {{"FieldValueForbidden", "sendInitialEvents", std::string(kSendInitialEvents).substr(19)}});
    return error;
  }
  if (match.empty()) return {};
  if (watching)
    return invalid("resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch");
  if (match != "Exact" && match != "NotOlderThan")
    return invalid(fmt::format(
        "resourceVersionMatch: Unsupported value: {}: supported values: \"Exact\", \"NotOlderThan\", \"\"",
        go_quote(match)));
  if (version.empty())
    return invalid(
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is "
        "provided");
  if (match == "Exact" && version == "0")
    return invalid(
        "resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion "
        "\"0\"");
  return {};
}

}  // namespace

ApiResult<HttpResponse> HttpApi::list(Call& call) {
  const HttpRequest& request = call.request;
  if (auto options = check_list_options(request, false); !options) return options.error();
  auto selector =
      Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"), *call.kind);
  if (!selector) return selector.error();
  auto limit = parse_number(request, "limit");
  if (!limit) return limit.error();
  Continue from;
  if (const std::string_view token = request.parameter("continue"); !token.empty()) {
    auto decoded = decode(token);
    if (!decoded) return decoded.error();
    from = std::move(*decoded);
  }
  ObjectList all = store_.list(call.kind->resource(), call.target.ns);
  if (const std::string_view text = request.parameter("resourceVersion");
      !text.empty() && text != "0" && from.version == 0) {
    auto version = parse_version(text);
    if (!version) return ApiError::bad_request("invalid resource version: " + version.error().message);
    if (request.parameter("resourceVersionMatch") == "Exact" && *version < all.version)
      return ApiError::expired("The resourceVersion for the provided list is too old.");
    if (*version > all.version) {
      ApiError error = ApiError::timeout(
          fmt::format("Too large resource version: {}, current: {}", *version, all.version));
      error.details = Json{{"causes", Json::array({Json{{"reason", "ResourceVersionTooLarge"},
                                                        {"message", "Too large resource version"}}})}};
      error.retry_after_seconds = 1;
      return error;
    }
  }
  ListMeta meta;
  meta.version = from.version != 0 ? from.version : all.version;
  std::vector<ObjectPtr> page;
  std::size_t at = 0;
  for (; at < all.objects.size(); ++at) {
    const StoredObject& object = *all.objects[at];
    if (!from.after.empty() && object.ns + "/" + object.name <= from.after) continue;
    if (!selector->matches(object)) continue;
    if (*limit > 0 && static_cast<std::int64_t>(page.size()) == *limit) break;
    page.push_back(all.objects[at]);
  }
  if (at < all.objects.size() && !page.empty()) {
    meta.next = encode(Continue{meta.version, page.back()->ns + "/" + page.back()->name});
    if (selector->everything()) meta.remaining = static_cast<std::int64_t>(all.objects.size() - at);
  }
  HttpResponse response;
  response.body = render_list(*call.kind, page, meta, call.format);
  return response;
}

ApiResult<HttpResponse> HttpApi::watch(Call& call) {
  const HttpRequest& request = call.request;
  if (auto options = check_list_options(request, true); !options) return options.error();
  std::string fields(request.parameter("fieldSelector"));
  if (!call.target.name.empty()) fields = "metadata.name=" + call.target.name;
  auto selector = Selector::parse(request.parameter("labelSelector"), fields, *call.kind);
  if (!selector) return selector.error();
  auto timeout = parse_number(request, "timeoutSeconds");
  if (!timeout) return timeout.error();
  const std::string resource = call.kind->resource();
  const std::string_view version_text = request.parameter("resourceVersion");
  std::uint64_t version = 0;
  if (!version_text.empty()) {
    auto parsed = parse_version(version_text);
    if (!parsed) return parsed.error();
    version = *parsed;
  }
  WatchOptions options;
  options.kind = call.kind;
  options.selector = std::move(*selector);
  options.format = call.format;
  const std::string_view bookmarks = request.parameter("allowWatchBookmarks");
  options.bookmarks = bookmarks == "true" || bookmarks == "1";
  options.timeout = std::chrono::seconds(*timeout > 0 ? std::min<std::int64_t>(*timeout, 86400)
                                                      : 1800 + std::rand() % 1800);
  std::vector<ObjectPtr> existing;
  if (version == 0) {
    ObjectList all = store_.list(resource, call.target.ns);
    version = all.version;
    for (ObjectPtr& object : all.objects)
      if (options.selector.matches(*object)) existing.push_back(std::move(object));
  }
  HttpResponse response;
  auto cursor = store_.watch(resource, call.target.ns, version);
  if (!cursor && cursor.error().code == Code::kOutOfRange) {
    response.body = render_error_event(ApiError::expired(cursor.error().message));
    return response;
  }
  if (!cursor && cursor.error().code == Code::kDeadlineExceeded)
    return ApiError::timeout(cursor.error().message);
  if (!cursor) return ApiError{503, "ServiceUnavailable", cursor.error().message, {}};
  auto stream =
      std::make_shared<WatchStream>(std::move(options), std::move(existing), std::move(*cursor), timers_);
  remember(stream);
  response.stream = std::move(stream);
  return response;
}

}  // namespace muster::local
