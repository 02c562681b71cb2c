// local/api/http_api.cc: from a request to the part of the API that it is for
#include "local/api/http_api.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "common/json/read_json.h"
#include "local/api/audit_log.h"
#include "local/api/discovery.h"
#include "local/api/http_call.h"
#include "local/api/list_options.h"
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

// These documents are for people, whoever asks.
HttpResponse indented(const Json& json) {
  HttpResponse response;
  response.body = json.dump(2);
  return response;
}

// "ok", or with ?verbose every check by name. One check there is: that this server answers.
std::optional<HttpResponse> health_report(const std::string& name, const HttpRequest& request) {
  const std::string root = "/" + name;
  if (request.path == root + "/ping") return plain_text("ok");
  if (request.path != root && request.path != root + "/") return std::nullopt;
  if (!request.has_parameter("verbose")) return plain_text("ok");
  return plain_text("[+]ping ok\n" + name + " check passed\n");
}

}  // namespace

HttpApi::HttpApi(ObjectStore& store, Kinds& kinds, Rest& rest, Options options)
    : store_(store), kinds_(kinds), rest_(rest), options_(std::move(options)), tokens_(store) {}

HttpApi::~HttpApi() { close(); }

void HttpApi::attach_logs(LogSource* logs) {
  const MutexLock lock(logs_mutex_);
  logs_ = logs;
}

void HttpApi::remember(const std::shared_ptr<BodyStream>& stream) {
  bool closed = false;
  {
    const MutexLock lock(mutex_);
    std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
    streams_.push_back(stream);
    closed = closed_;
  }
  if (closed) stream->close();
}

void HttpApi::close() {
  std::vector<std::weak_ptr<BodyStream>> streams;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    streams.swap(streams_);
  }
  for (const auto& weak : streams)
    if (const auto stream = weak.lock()) stream->close();
}

std::optional<User> HttpApi::user_of(const HttpRequest& request) const {
  if (options_.token.empty()) return admin_user();
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view given = request.header("authorization");
  if (!given.starts_with(kBearer)) return std::nullopt;
  given.remove_prefix(kBearer.size());
  if (same_secret(given, options_.token)) return admin_user();
  return tokens_.user_of(given, std::chrono::system_clock::now());
}

bool HttpApi::admits(const HttpRequest& request) const { return user_of(request).has_value(); }

HttpResponse HttpApi::handle(const HttpRequest& request) {
  const WallTime received = std::chrono::system_clock::now();
  std::optional<User> shown = user_of(request);
  if (!shown) return error_response(ApiError{401, "Unauthorized", "Unauthorized", {}}, request);
  const ApiResult<User> user = acting_user(*std::move(shown), request);
  if (!user) return error_response(user.error(), request);
  RequestTarget target;
  const bool about_object = parse_resource_path(request.path, target);
  const Access access = access_of(request, target);
  const bool may = !about_object || allowed(store_, *user, access);
  HttpResponse response =
      may ? dispatch(request, *user, false) : error_response(not_allowed(*user, access), request);
  if (options_.audit) options_.audit->write({request, response, *user, access, may, received});
  return response;
}

HttpResponse HttpApi::handle_trusted(const HttpRequest& request) {
  return dispatch(request, admin_user(), true);
}

std::optional<HttpResponse> HttpApi::serve_fixed(const HttpRequest& request) {
  const std::string& path = request.path;
  for (const char* health : {"healthz", "livez", "readyz"})
    if (auto report = health_report(health, request)) return *std::move(report);
  if (path == "/version" || path == "/version/") return indented(version_info());
  const auto table = kinds_.table();
  if (path == "/openapi/v2") return openapi_v2(*table, request);
  if (path == "/openapi/v3" || path == "/openapi/v3/" || path.rfind("/openapi/v3/", 0) == 0)
    return openapi_v3(*table, request);
  if (auto document = discovery_document(*table, request)) return *std::move(document);
  return std::nullopt;
}

HttpResponse HttpApi::dispatch(const HttpRequest& request, const User& user, bool trusted) {
  try {
    if (request.method == "GET")
      if (auto fixed = serve_fixed(request)) return *std::move(fixed);
    RequestTarget target;
    if (!parse_resource_path(request.path, target)) {
      if (request.path == "/") return indented(root_paths(*kinds_.table()));
      return plain_text("404 page not found\n", 404);
    }
    if (request.header("content-type").rfind("application/vnd.kubernetes.protobuf", 0) != 0 &&
        nested_too_deep(std::string_view(request.body)))
      return error_response(ApiError::bad_request("json: exceeded max depth"), request);
    auto response = serve_resource(request, target, user, trusted);
    if (!response) return error_response(response.error(), request);
    return *std::move(response);
  } catch (const std::exception& error) {
    return error_response(ApiError::internal(error.what()), request);
  }
}

ApiResult<HttpResponse> HttpApi::serve_resource(const HttpRequest& request, const RequestTarget& target,
                                                const User& user, bool trusted) {
  auto table = kinds_.table();
  if (!table->has_group_version(target.group, target.version)) return plain_text("404 page not found\n", 404);
  KindPtr kind = table->find(target.group, target.version, target.plural);
  if (!kind) return ApiError::no_such_path();
  if (!kind->namespaced && !target.ns.empty()) return ApiError::no_such_path();
  auto format = choose_format(request);
  if (!format) return format.error();
  auto options =
      request.method == "GET" ? ApiResult<WriteOptions>(WriteOptions{}) : write_options(request, trusted);
  if (!options) return options.error();
  Call call{request, target, user, std::move(table), std::move(kind), *format, std::move(*options), {}};
  call.options.warnings = &call.warnings;
  call.options.subresource = target.subresource;
  auto response = !target.subresource.empty() ? serve_subresource(call)
                  : !target.name.empty()      ? serve_object(call)
                                              : serve_collection(call);
  if (!response && call.warnings.empty()) return response.error();
  HttpResponse reply = response ? *std::move(response) : error_response(response.error(), request);
  for (const std::string& warning : call.warnings) {
    std::string quoted;
    for (const char c : warning.substr(0, 1024)) {
      if (c == '"' || c == '\\') quoted += '\\';
      if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
    }
    reply.headers.emplace_back("Warning", "299 - \"" + quoted + "\"");
  }
  if (call.format.yaml) write_yaml(reply);
  return reply;
}

ApiResult<HttpResponse> HttpApi::serve_collection(Call& call) {
  const std::string& method = call.request.method;
  if (method == "GET") {
    if (call.kind->create_only) return ApiError::method_not_allowed();
    if (call.target.watch_path || flag_parameter(call.request, "watch")) return watch(call);
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
  if (method == "GET") return get(call);
  if (method == "PUT") return update(call);
  if (method == "PATCH") return patch(call);
  if (method == "DELETE") return remove(call);
  return ApiError::method_not_allowed();
}

}  // namespace muster::local
