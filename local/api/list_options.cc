// local/api/list_options.cc: decodes and checks the query of lists and watches
#include "local/api/list_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/base/base64.h"
#include "common/json/read_json.h"
#include "local/api/metadata.h"
#include "local/api/yaml.h"

namespace muster::local {
namespace {

constexpr const char* kTokenVersion = "meta.k8s.io/v1";

// As Go's parser of numbers reports it.
ApiResult<std::int64_t> parse_number(const HttpRequest& request, const char* name) {
  const std::string_view text = request.parameter(name);
  std::int64_t number = 0;
  if (text.empty()) return number;
  const std::size_t sign = text[0] == '+' ? 1 : 0;  // which from_chars does not know
  const auto [end, error] = std::from_chars(text.data() + sign, text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range)
    return ApiError::bad_request(
        fmt::format("strconv.ParseInt: parsing {}: value out of range", go_quote(text)));
  if (error != std::errc{} || end != text.data() + text.size())
    return ApiError::bad_request(fmt::format("strconv.ParseInt: parsing {}: invalid syntax", go_quote(text)));
  return number;
}

FieldError forbidden(const char* field, const std::string& why) { return FieldError::forbidden(field, why); }

void check_watch(const ListOptions& options, bool watch_list, FieldErrors& errors) {
  const bool initial_events = options.initial_events.has_value();
  const std::string& match = options.match;
  if (initial_events && match != "NotOlderThan")
    errors.push_back(forbidden("resourceVersionMatch",
                               "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  if (initial_events && !watch_list)
    errors.push_back(
        forbidden("sendInitialEvents",
                  "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"));
  if (match.empty()) return;
  if (!initial_events)
    errors.push_back(
        forbidden("resourceVersionMatch",
                  "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
  if (match != "NotOlderThan")
    errors.push_back(FieldError::not_supported("resourceVersionMatch", match, {"NotOlderThan"}));
  if (!options.continue_token.empty())
    errors.push_back(
        forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
}

void check_list(const ListOptions& options, FieldErrors& errors) {
  const std::string& match = options.match;
  if (!match.empty()) {
    if (options.resource_version.empty())
      errors.push_back(forbidden("resourceVersionMatch",
                                 "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    if (!options.continue_token.empty())
      errors.push_back(
          forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
    if (match != "Exact" && match != "NotOlderThan")
      errors.push_back(
          FieldError::not_supported("resourceVersionMatch", match, {"Exact", "NotOlderThan", ""}));
    if (match == "Exact" && options.resource_version == "0")
      errors.push_back(forbidden("resourceVersionMatch",
                                 "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
  }
  if (options.initial_events)
    errors.push_back(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
}

}  // namespace

bool flag_parameter(const HttpRequest& request, std::string_view name) {
  if (!request.has_parameter(name)) return false;
  std::string value(request.parameter(name));
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return value != "false" && value != "0";
}

ApiResult<ListOptions> parse_list_options(const HttpRequest& request, const Kind& kind,
                                          const std::string& name, bool watch_path, bool watch_list) {
  ListOptions options;
  options.watch = watch_path || flag_parameter(request, "watch");
  options.bookmarks = flag_parameter(request, "allowWatchBookmarks");
  options.resource_version = std::string(request.parameter("resourceVersion"));
  options.match = std::string(request.parameter("resourceVersionMatch"));
  options.continue_token = std::string(request.parameter("continue"));
  if (request.has_parameter("sendInitialEvents"))
    options.initial_events = flag_parameter(request, "sendInitialEvents");
  const auto labels = parse_label_selector(request.parameter("labelSelector"));
  if (!labels) return labels.error();
  const auto limit = parse_number(request, "limit");
  if (!limit) return limit.error();
  options.limit = std::max<std::int64_t>(*limit, 0);
  const auto timeout = parse_number(request, "timeoutSeconds");
  if (!timeout) return timeout.error();
  options.timeout_seconds = *timeout;
  FieldErrors errors;
  if (options.watch)
    check_watch(options, watch_list, errors);
  else
    check_list(options, errors);
  if (!errors.empty()) return ApiError::invalid("ListOptions.meta.k8s.io", "", errors);
  auto selector =
      Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"), kind);
  if (!selector) return selector.error();
  if (!name.empty()) {
    const std::string asked = selector->name();
    if (request.parameter("fieldSelector").empty())
      selector = Selector::parse(request.parameter("labelSelector"), "metadata.name=" + name, kind);
    else if (asked != name)
      return ApiError::bad_request("fieldSelector metadata.name doesn't match requested name");
    if (!selector) return selector.error();
  }
  options.selector = std::move(*selector);
  return options;
}

std::string encode_continue(const ContinueToken& token) {
  const Json json{{"v", kTokenVersion}, {"rv", token.version}, {"start", token.start}};
  std::string text = base64_encode(json.dump(-1, ' ', false, Json::error_handler_t::replace));
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

ApiResult<ContinueToken> decode_continue(std::string_view text) {
  const auto refuse = [](const std::string& why) {
    return ApiError::bad_request("invalid continue token: continue key is not valid: " + why);
  };
  std::string standard(text);
  std::size_t wrong = text.find_first_of("+/=");
  std::replace(standard.begin(), standard.end(), '-', '+');
  std::replace(standard.begin(), standard.end(), '_', '/');
  standard.append((4 - standard.size() % 4) % 4, '=');
  if (const auto at = base64_error(standard)) wrong = std::min(wrong, *at);
  if (wrong != std::string_view::npos)
    return refuse(fmt::format("illegal base64 data at input byte {}", std::min(wrong, text.size())));
  const std::string bytes = *base64_decode(standard);
  const Json json = read_json(bytes);
  if (!json.is_object()) return refuse(json.is_discarded() ? json_problem(bytes) : "it is not an object");
  if (const std::string version = text_at(json, "v"); version != kTokenVersion)
    return refuse("server does not recognize this encoded version " + version);
  const auto version = json.find("rv");
  if (version == json.end() || !version->is_number_integer() || *version == 0)
    return refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  ContinueToken token{version->get<std::int64_t>(), text_at(json, "start")};
  if (token.start.empty()) return refuse("encoded start key empty (version meta.k8s.io/v1)");
  if (token.start.find("..") != std::string::npos || token.start.find("//") != std::string::npos)
    return refuse(token.start);
  return token;
}

ApiResult<std::uint64_t> parse_resource_version(std::string_view text) {
  std::uint64_t version = 0;
  if (text.empty()) return version;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error == std::errc{} && end == text.data() + text.size()) return version;
  return ApiError{
      400,
      "",
      fmt::format("resourceVersion: Invalid value: {}: strconv.ParseUint: parsing {}: {}", go_quote(text),
                  go_quote(text),
                  error == std::errc::result_out_of_range ? "value out of range" : "invalid syntax"),
      {}};
}

}  // namespace muster::local
