// local/api/request.cc: takes paths, queries and bodies of requests apart
#include <fmt/format.h>

#include <charconv>

#include "common/base/hex.h"
#include "common/json/read_json.h"
#include "common/yaml/yaml.h"
#include "local/api/http_call.h"
#include "local/api/protobuf_body.h"
#include "local/api/yaml.h"

namespace muster::local {
namespace {

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  std::string part;
  for (const char c : path) {
    if (c != '/') {
      part += c;
    } else if (!part.empty()) {
      parts.push_back(std::exchange(part, {}));
    }
  }
  if (!part.empty()) parts.push_back(part);
  return parts;
}

std::string_view media_type(const HttpRequest& request) {
  std::string_view type = request.header("content-type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return type;
}

bool is_true(std::string_view value) { return value == "true" || value == "1"; }

}  // namespace

bool parse_resource_path(const std::string& path, RequestTarget& target) {
  std::vector<std::string> parts = split_path(path);
  std::size_t at = 0;
  if (parts.size() >= 2 && parts[0] == "api") {
    target.version = parts[1];
    at = 2;
  } else if (parts.size() >= 3 && parts[0] == "apis") {
    target.group = parts[1];
    target.version = parts[2];
    at = 3;
  } else {
    return false;
  }
  if (at < parts.size() && parts[at] == "watch") {
    target.watch_path = true;
    ++at;
  }
  if (at >= parts.size()) return false;
  // /namespaces/NAME[/status|finalize] is about the namespace itself.
  const std::size_t left = parts.size() - at;
  const bool own = parts[at] == "namespaces" && target.group.empty() &&
                   (left <= 2 || (left == 3 && (parts[at + 2] == "status" || parts[at + 2] == "finalize")));
  if (parts[at] == "namespaces" && !own && left >= 3) {
    target.ns = parts[at + 1];
    at += 2;
  }
  target.plural = parts[at++];
  if (at < parts.size()) target.name = parts[at++];
  for (; at < parts.size(); ++at) target.subresource += (target.subresource.empty() ? "" : "/") + parts[at];
  return true;
}

ApiError unrecognized_body(const HttpRequest& request, const Kind& kind, const std::string& why) {
  constexpr std::size_t kShown = 30;
  const std::string& body = request.body;
  std::string shown = body.empty() ? "<empty>" : "";
  if (body.starts_with('{')) shown = body.substr(0, kShown);
  if (shown.empty()) shown = hex_of(body.substr(0, kShown));
  return ApiError::bad_request(
      fmt::format("the object provided is unrecognized (must be of type {}): {} ({}{})", kind.kind, why,
                  shown, body.size() > kShown ? " ..." : ""));
}

ApiResult<Json> decode_body(const HttpRequest& request, const Kind& kind, bool patch_yaml) {
  const std::string_view type = media_type(request);
  Json body;
  if (type == "application/vnd.kubernetes.protobuf") {
    auto decoded = decode_protobuf(request.body);
    if (!decoded) return ApiError::bad_request(decoded.error().message);
    return *decoded;
  }
  if (type == "application/yaml" || patch_yaml) {
    auto decoded = parse_yaml(request.body);
    if (!decoded) return ApiError::bad_request("error decoding YAML: " + decoded.error().message);
    body = std::move(*decoded);
  } else {
    body = read_json(request.body);
    if (body.is_discarded())
      return unrecognized_body(request, kind,
                               "couldn't get version/kind; json parse error: " + json_problem(request.body));
  }
  if (!body.is_object()) return unrecognized_body(request, kind, "it is no JSON object");
  return body;
}

ApiResult<WriteOptions> write_options(const HttpRequest& request, bool trusted) {
  WriteOptions options;
  options.trusted = trusted;
  options.manager = std::string(request.parameter("fieldManager"));
  if (options.manager.empty()) {
    const std::string_view agent = request.header("user-agent");
    options.manager = agent.empty() ? "unknown" : std::string(agent.substr(0, agent.find('/')));
  }
  FieldErrors errors;
  if (options.manager.size() > 128) errors.push_back(FieldError::too_long("fieldManager", 128));
  const std::string_view validation = request.parameter("fieldValidation");
  if (validation == "Strict") {
    options.validation = FieldValidation::kStrict;
  } else if (validation == "Ignore") {
    options.validation = FieldValidation::kIgnore;
  } else if (!validation.empty() && validation != "Warn") {
    errors.push_back(FieldError::not_supported("fieldValidation", std::string(validation),
                                               {"", "Ignore", "Strict", "Warn"}));
  }
  const std::string_view dry_run = request.parameter("dryRun");
  if (dry_run == "All")
    options.dry_run = true;
  else if (!dry_run.empty())
    errors.push_back(FieldError{
        "FieldValueNotSupported", "dryRun",
        fmt::format("Unsupported value: []string{{{}}}: supported values: \"All\"", go_quote(dry_run))});
  if (!errors.empty()) {
    const char* kind = request.method == "POST"  ? "CreateOptions"
                       : request.method == "PUT" ? "UpdateOptions"
                                                 : "PatchOptions";
    return ApiError::invalid(std::string(kind) + ".meta.k8s.io", "", errors);
  }
  options.force = is_true(request.parameter("force"));
  return options;
}

ApiResult<DeleteOptions> delete_options(const HttpRequest& request) {
  DeleteOptions options;
  Json body = Json::object();
  if (!request.body.empty()) {
    if (media_type(request) == "application/vnd.kubernetes.protobuf") {
      auto decoded = decode_protobuf(request.body);
      if (!decoded) return ApiError::bad_request(decoded.error().message);
      body = std::move(*decoded);
    } else {
      body = read_json(request.body);
    }
    if (!body.is_object())
      return ApiError::bad_request("the DeleteOptions of the body are not a JSON object");
  }
  const auto parameter = [&](const char* name) { return std::string(request.parameter(name)); };
  options.propagation = text_at(body, "propagationPolicy");
  if (options.propagation.empty()) options.propagation = parameter("propagationPolicy");
  if (body.value("orphanDependents", Json(false)) == Json(true) ||
      is_true(request.parameter("orphanDependents")))
    options.propagation = "Orphan";
  if (!options.propagation.empty() && options.propagation != "Orphan" &&
      options.propagation != "Background" && options.propagation != "Foreground")
    return ApiError::invalid("DeleteOptions.meta.k8s.io", "",
                             {FieldError::not_supported("propagationPolicy", options.propagation,
                                                        {"Foreground", "Background", "Orphan", "nil"})});
  if (const auto it = body.find("gracePeriodSeconds"); it != body.end() && it->is_number_integer())
    options.grace_seconds = it->get<std::int64_t>();
  else if (const std::string text = parameter("gracePeriodSeconds"); !text.empty()) {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc{} || end != text.data() + text.size())
      return ApiError::bad_request("gracePeriodSeconds must be a number of seconds, not " + go_quote(text));
    options.grace_seconds = seconds;
  }
  if (options.grace_seconds && *options.grace_seconds < 0) options.grace_seconds = 1;
  const Json& preconditions = object_of(body, "preconditions");
  options.uid = text_at(preconditions, "uid");
  options.resource_version = text_at(preconditions, "resourceVersion");
  options.dry_run = parameter("dryRun") == "All" || !array_of(body, "dryRun").empty();
  return options;
}

HttpResponse json_response(const Json& json, const HttpRequest& request, int status) {
  HttpResponse response;
  response.status = status;
  const std::string_view agent = request.header("user-agent");
  const bool pretty =
      is_true(request.parameter("pretty")) || agent.rfind("curl", 0) == 0 || agent.rfind("Wget", 0) == 0;
  response.body = json.dump(pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace);
  return response;
}

ApiStatus check_partial(const Kind& kind, const Format& format, bool list) {
  const bool wants_list = format.kind == Format::Kind::kPartialList;
  if (!format.partial() || wants_list == list) return {};
  const std::string package = kind.group.empty() ? "core" : kind.group.substr(0, kind.group.find('.'));
  const std::string type = kind.custom
                               ? (list ? "unstructured.UnstructuredList" : "unstructured.Unstructured")
                               : package + "." + (list ? kind.list_kind : kind.kind);
  return ApiError{406,
                  "NotAcceptable",
                  fmt::format("you requested {}, but the requested object is {} (*{})",
                              wants_list ? "PartialObjectMetadataList" : "PartialObjectMetadata",
                              list ? "a list" : "not a list", type),
                  {}};
}

void write_yaml(HttpResponse& response) {
  if (response.stream || response.content_type != "application/json") return;
  response.body = to_yaml(Json::parse(response.body));
  response.content_type = "application/yaml";
}

HttpResponse error_response(const ApiError& error, const HttpRequest& request) {
  HttpResponse response = json_response(error.status(), request, error.code);
  if (error.retry_after_seconds > 0)
    response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_seconds));
  if (error.code == 406 && error.message.rfind("only the following", 0) == 0) {  // nothing can be written
    response.content_type = "text/plain; charset=utf-8";
    response.body =
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf";
  }
  const auto format = choose_format(request);
  if (format && format->yaml) write_yaml(response);
  return response;
}

}  // namespace muster::local
