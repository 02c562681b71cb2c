// local/api/http_api.cc: from a request to the part of the API that it is for
#include "local/api/http_api.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "local/api/discovery.h"
#include "local/api/http_call.h"
#include "local/api/openapi.h"

namespace muster::local {
namespace {

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

HttpResponse plain_text(std::string text, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

ApiError fault_error(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kConflict:
      return {409,
              "Conflict",
              "the object has been modified; please apply your changes to the latest version and try again",
              {}};
    case FaultKind::kExpired:
      return ApiError::expired("The resourceVersion for the provided watch is too old.");
    case FaultKind::kTooManyRequests: {
      ApiError error{429, "TooManyRequests", "too many requests, please try again later", Json::object()};
      error.retry_after_seconds = 1;
      return error;
    }
    case FaultKind::kTimeoutAfterCommit:
      return ApiError::timeout("request did not complete within the allotted timeout");
    default: return ApiError::internal("a fault was asked for");
  }
}

}  // namespace

HttpApi::HttpApi(ObjectStore& store, Kinds& kinds, Rest& rest, Options options)
    : store_(store), kinds_(kinds), rest_(rest), options_(std::move(options)), faults_(options_.faults) {}

HttpApi::~HttpApi() { close(); }

void HttpApi::attach_logs(LogSource* logs) {
  const std::lock_guard lock(logs_mutex_);
  logs_ = logs;
}

void HttpApi::remember(const std::shared_ptr<BodyStream>& stream) {
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
    streams_.push_back(stream);
    closed = closed_;
  }
  if (closed) stream->close();
}

void HttpApi::close() {
  std::vector<std::weak_ptr<BodyStream>> streams;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    streams.swap(streams_);
  }
  for (const auto& weak : streams)
    if (const auto stream = weak.lock()) stream->close();
}

HttpResponse HttpApi::handle(const HttpRequest& request) {
  if (!options_.token.empty()) {
    constexpr std::string_view kBearer = "Bearer ";
    const std::string_view given = request.header("authorization");
    if (given.substr(0, kBearer.size()) != kBearer ||
        !same_secret(given.substr(kBearer.size()), options_.token))
      return error_response(ApiError{401, "Unauthorized", "Unauthorized", {}}, request);
  }
  const bool watching = request.parameter("watch") == "true" || request.parameter("watch") == "1";
  const auto fault = faults_.next(watching ? "WATCH" : std::string_view(request.method), request.path);
  if (!fault) return dispatch(request, false);
  switch (fault->kind) {
    case FaultKind::kSlow: {
      std::this_thread::sleep_for(fault->delay);
      return dispatch(request, false);
    }
    case FaultKind::kCut: {
      HttpResponse cut;
      cut.cut = true;
      return cut;
    }
    case FaultKind::kTimeoutAfterCommit: {
      const HttpResponse done = dispatch(request, false);
      if (done.status >= 400) return done;
      return error_response(fault_error(*fault), request);
    }
    default: break;
  }
  if (watching && fault->kind == FaultKind::kExpired) {
    HttpResponse response;
    response.body = render_error_event(fault_error(*fault));
    return response;
  }
  return error_response(fault_error(*fault), request);
}

HttpResponse HttpApi::handle_trusted(const HttpRequest& request) { return dispatch(request, true); }

std::optional<HttpResponse> HttpApi::serve_fixed(const HttpRequest& request) {
  const std::string& path = request.path;
  for (const char* health : {"/healthz", "/livez", "/readyz"})
    if (path == health || path.rfind(std::string(health) + "/", 0) == 0) return plain_text("ok");
  if (path == "/version" || path == "/version/") return json_response(version_info(), request);
  const auto table = kinds_.table();
  if (path == "/openapi/v2") return openapi_v2(*table, request);
  if (path == "/openapi/v3" || path == "/openapi/v3/" || path.rfind("/openapi/v3/", 0) == 0)
    return openapi_v3(*table, request);
  if (auto document = discovery_document(*table, request)) return *std::move(document);
  return std::nullopt;
}

HttpResponse HttpApi::dispatch(const HttpRequest& request, bool trusted) {
  try {
    if (request.method == "GET")
      if (auto fixed = serve_fixed(request)) return *std::move(fixed);
    RequestTarget target;
    if (!parse_resource_path(request.path, target)) {
      if (request.path == "/") return json_response(root_paths(*kinds_.table()), request);
      return plain_text("404 page not found\n", 404);
    }
    auto response = serve_resource(request, target, trusted);
    if (!response) return error_response(response.error(), request);
    return *std::move(response);
  } catch (const std::exception& error) {
    return error_response(ApiError::internal(error.what()), request);
  }
}

ApiResult<HttpResponse> HttpApi::serve_resource(const HttpRequest& request, const RequestTarget& target,
                                                bool trusted) {
  auto table = kinds_.table();
  if (!table->has_group_version(target.group, target.version)) return plain_text("404 page not found\n", 404);
  KindPtr kind = table->find(target.group, target.version, target.plural);
  if (!kind) return ApiError::no_such_path();
  if (!kind->namespaced && !target.ns.empty()) return ApiError::no_such_path();
  auto format = choose_format(request);
  if (!format) return format.error();
  auto options = write_options(request, trusted);
  if (!options) return options.error();
  Call call{request, target, std::move(table), std::move(kind), *format, std::move(*options), {}};
  call.options.warnings = &call.warnings;
  call.options.subresource = target.subresource;
  auto response = !target.subresource.empty() ? serve_subresource(call)
                  : !target.name.empty()      ? serve_object(call)
                                              : serve_collection(call);
  if (!response && call.warnings.empty()) return response.error();
  HttpResponse answer = response ? *std::move(response) : error_response(response.error(), request);
  for (const std::string& warning : call.warnings) {
    std::string quoted;
    for (const char c : warning.substr(0, 1024)) {
      if (c == '"' || c == '\\') quoted += '\\';
      if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
    }
    answer.headers.emplace_back("Warning", "299 - \"" + quoted + "\"");
  }
  return answer;
}

ApiResult<HttpResponse> HttpApi::serve_collection(Call& call) {
  const std::string& method = call.request.method;
  const std::string_view watch_parameter = call.request.parameter("watch");
  if (method == "GET") {
    if (call.kind->create_only) return ApiError::method_not_allowed();
    if (call.target.watch_path || watch_parameter == "true" || watch_parameter == "1") return watch(call);
    return list(call);
  }
  if (method == "POST") {
    if (call.kind->create_only) return review(call);
    if (call.kind->namespaced && call.target.ns.empty()) return ApiError::method_not_allowed();
    return create(call);
  }
  if (method == "DELETE" && !call.kind->create_only && call.kind->plural != "namespaces")
    return remove_collection(call);
  return ApiError::method_not_allowed();
}

ApiResult<HttpResponse> HttpApi::serve_object(Call& call) {
  const std::string& method = call.request.method;
  if (call.kind->create_only) return ApiError::method_not_allowed();
  if (call.kind->namespaced && call.target.ns.empty()) return ApiError::no_such_path();
  if (method == "GET" && call.target.watch_path) return watch(call);
  if (method == "GET") {
    const ObjectPtr object = store_.get(call.kind->resource(), call.target.ns, call.target.name);
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
  if (method == "PUT") return update(call);
  if (method == "PATCH") return patch(call);
  if (method == "DELETE") return remove(call);
  return ApiError::method_not_allowed();
}

}  // namespace muster::local
