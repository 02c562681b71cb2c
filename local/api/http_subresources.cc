// local/api/http_subresources.cc: status, scale, log, binding, eviction, finalize, and reviews
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/base/rfc3339.h"
#include "common/json/read_json.h"
#include "local/api/discovery.h"
#include "local/api/http_call.h"
#include "local/api/json_path.h"
#include "local/api/log_body.h"
#include "local/api/patch.h"
#include "local/api/table_cells.h"

namespace muster::local {
namespace {

constexpr std::int64_t kTokenSecondsMax = 31'536'000;  // a year

std::string scale_selector(const Json& object) {
  const Json& selector = object_of(object_of(object, "spec"), "selector");
  if (selector.empty()) return {};
  return selector_text(selector, "");
}

Json scale_of(const Kind& kind, const Json& object) {
  const auto number = [&](const std::string& path) {
    const Json* value = path.empty() ? nullptr : find_path(object, path);
    return value != nullptr && value->is_number() ? *value : Json(0);
  };
  Json metadata = Json::object();
  for (const char* name : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
    if (const std::string text = meta_text(object, name); !text.empty()) metadata[name] = text;
  Json status{{"replicas", number(kind.scale->status_replicas)}};
  if (!kind.scale->label_selector.empty()) {
    const Json* selector = find_path(object, kind.scale->label_selector);
    if (selector != nullptr && selector->is_string()) status["selector"] = *selector;
  } else if (const std::string selector = scale_selector(object); !kind.custom && !selector.empty()) {
    status["selector"] = selector;
  }
  const Json replicas = number(kind.scale->spec_replicas);
  return Json{{"kind", "Scale"},
              {"apiVersion", "autoscaling/v1"},
              {"metadata", metadata},
              {"spec", replicas == 0 ? Json::object() : Json{{"replicas", replicas}}},
              {"status", status}};
}

ApiResult<std::int64_t> wanted_replicas(const Json& scale) {
  const Json& spec = object_of(scale, "spec");
  const auto it = spec.find("replicas");
  const Json replicas = it == spec.end() ? Json(0) : *it;
  if (!replicas.is_number_integer())
    return ApiError::bad_request(
        "Scale in version \"v1\" cannot be handled as a Scale: spec.replicas must be an integer");
  return replicas.get<std::int64_t>();
}

// How `kubectl get --subresource=scale` shows it.
const Kind& scale_kind() {
  static const Kind kScale = [] {
    Kind kind;
    kind.group = "autoscaling";
    kind.version = "v1";
    kind.kind = "Scale";
    kind.custom = true;
    PrinterColumn desired, available, age;
    desired.name = "Desired";
    desired.type = available.type = "integer";
    desired.json_path = ".spec.replicas";
    available.name = "Available";
    available.json_path = ".status.replicas";
    age.name = "Age";
    age.type = "date";
    age.json_path = ".metadata.creationTimestamp";
    kind.columns = {desired, available, age};
    return kind;
  }();
  return kScale;
}

Access reviewed_access(const Json& attributes) {
  Access out{text_at(attributes, "verb"), text_at(attributes, "group"), text_at(attributes, "resource"),
             text_at(attributes, "namespace"), text_at(attributes, "name")};
  if (const std::string sub = text_at(attributes, "subresource"); !sub.empty()) out.resource += "/" + sub;
  return out;
}

bool is_true(std::string_view value) { return value == "true" || value == "1"; }

}  // namespace

ApiResult<HttpResponse> HttpApi::serve_subresource(Call& call) {
  const std::string& method = call.request.method;
  const std::string& sub = call.target.subresource;
  const auto known = subresources_of(*call.kind);
  const auto it =
      std::find_if(known.begin(), known.end(), [&](const Subresource& each) { return each.name == sub; });
  if (it == known.end() && call.kind->custom)
    return ApiError::not_found(call.kind->resource(), call.target.name);
  if (it == known.end()) return ApiError::no_such_path();
  const std::string verb = method == "GET"     ? "get"
                           : method == "PUT"   ? "update"
                           : method == "PATCH" ? "patch"
                           : method == "POST"  ? "create"
                                               : "";
  if (std::find(it->verbs.begin(), it->verbs.end(), verb) == it->verbs.end())
    return ApiError::method_not_allowed();
  if (sub == "log") return pod_log(call);
  if (sub == "binding") return bind(call);
  if (sub == "eviction") return evict(call);
  if (sub == "scale") return scale(call);
  if (sub == "token") return account_token(call);
  if (method == "GET") {
    auto json = rest_.get(*call.kind, call.target.ns, call.target.name);
    if (!json) return json.error();
    return call.object(*json);
  }
  return method == "PUT" ? update(call) : patch(call);
}

ApiResult<HttpResponse> HttpApi::scale(Call& call) {
  const std::string& name = call.target.name;
  if (call.request.method == "GET") {
    auto json = rest_.get(*call.kind, call.target.ns, name);
    if (!json) return json.error();
    if (call.format.kind == Format::Kind::kTable) {
      HttpResponse response;
      response.body = render_object(scale_kind(), scale_of(*call.kind, *json), call.format);
      return response;
    }
    return json_response(scale_of(*call.kind, *json), call.request);
  }
  Json body;
  std::string_view type = call.request.header("content-type");
  type = type.substr(0, type.find(';'));
  body = read_json(call.request.body);
  if (body.is_discarded()) return ApiError::bad_request("the body is not JSON");
  call.options.subresource = "scale";
  auto updated = rest_.update(
      *call.kind, call.target.ns, name,
      [&](const Json& current) -> ApiResult<Json> {
        Json scale = scale_of(*call.kind, current);
        const std::string version = meta_text(scale, "resourceVersion");
        if (call.request.method == "PUT") {
          scale = body;
        } else if (type == "application/json-patch+json") {
          if (auto done = json_patch(scale, body); !done) return done.error();
        } else if (type == "application/merge-patch+json" ||
                   type == "application/strategic-merge-patch+json") {
          merge_patch(scale, body);
        } else {
          return ApiError::unsupported_media_type(
              "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
        }
        auto replicas = wanted_replicas(scale);
        if (!replicas) return replicas.error();
        Json object = current;
        const std::string wanted = meta_text(scale, "resourceVersion");
        if (wanted.empty() || wanted == version)
          object["metadata"].erase("resourceVersion");
        else
          object["metadata"]["resourceVersion"] = wanted;
        if (call.request.method == "PUT" && !wanted.empty()) object["metadata"]["resourceVersion"] = wanted;
        set_path(object, call.kind->scale->spec_replicas, *replicas);
        return object;
      },
      call.options);
  if (!updated) return updated.error();
  return json_response(scale_of(*call.kind, *updated), call.request);
}

ApiResult<HttpResponse> HttpApi::bind(Call& call) {
  auto body = decode_body(call.request, *call.kind, false);
  if (!body) return body.error();
  const std::string node = text_at(object_of(*body, "target"), "name");
  if (node.empty()) return ApiError::bad_request("a Binding needs target.name");
  call.options.trusted = true;
  auto bound = rest_.update(
      *call.kind, call.target.ns, call.target.name,
      [&](const Json& current) -> ApiResult<Json> {
        const std::string taken = text_at(object_of(current, "spec"), "nodeName");
        if (!taken.empty())
          return ApiError::conflict(
              "pods/binding", call.target.name,
              fmt::format("pod {} is already assigned to node {}", call.target.name, go_quote(taken)));
        Json object = current;
        object["metadata"].erase("resourceVersion");
        object["spec"]["nodeName"] = node;
        return object;
      },
      call.options);
  if (!bound) return bound.error();
  return json_response(Json{{"kind", "Status"},
                            {"apiVersion", "v1"},
                            {"metadata", Json::object()},
                            {"status", "Success"},
                            {"code", 201}},
                       call.request, 201);
}

ApiResult<HttpResponse> HttpApi::evict(Call& call) {
  auto body = decode_body(call.request, *call.kind, false);
  if (!body) return body.error();
  DeleteOptions options;
  const Json& wanted = object_of(*body, "deleteOptions");
  if (const auto it = wanted.find("gracePeriodSeconds"); it != wanted.end() && it->is_number_integer())
    options.grace_seconds = it->get<std::int64_t>();
  options.uid = text_at(object_of(wanted, "preconditions"), "uid");
  options.dry_run = call.options.dry_run;
  auto deletion = rest_.remove(*call.kind, call.target.ns, call.target.name, options);
  if (!deletion) return deletion.error();
  return json_response(Json{{"kind", "Status"},
                            {"apiVersion", "v1"},
                            {"metadata", Json::object()},
                            {"status", "Success"},
                            {"code", 201}},
                       call.request, 201);
}

ApiResult<HttpResponse> HttpApi::review(Call& call) {
  auto body = decode_body(call.request, *call.kind, false);
  if (!body) return body.error();
  Json answer = *body;
  answer["apiVersion"] = call.kind->api_version();
  answer["kind"] = call.kind->kind;
  if (!answer.contains("metadata")) answer["metadata"] = Json{{"creationTimestamp", nullptr}};
  const Json& spec = object_of(answer, "spec");
  if (call.kind->kind == "SelfSubjectReview") {
    answer["status"] = Json{{"userInfo", call.user.json()}};
  } else if (call.kind->kind == "TokenReview") {
    HttpRequest shown;
    shown.headers["authorization"] = "Bearer " + text_at(spec, "token");
    const auto user = user_of(shown);
    answer["status"] = user ? Json{{"authenticated", true}, {"user", user->json()}}
                            : Json{{"user", Json::object()}, {"error", "invalid token"}};
  } else if (call.kind->kind == "SelfSubjectRulesReview") {
    answer["status"] = rules_of(store_, call.user, text_at(spec, "namespace"));
  } else {
    User user = call.user;
    if (call.kind->kind.find("Self") == std::string::npos)
      user = {text_at(spec, "user"), text_at(spec, "uid"), strings_of(spec, "groups")};
    // What is no object of the API may be read by everyone.
    const bool may = !spec.contains("resourceAttributes") ||
                     allowed(store_, user, reviewed_access(object_of(spec, "resourceAttributes")));
    answer["status"] = Json{{"allowed", may}};
  }
  return json_response(answer, call.request, 201);
}

ApiResult<HttpResponse> HttpApi::account_token(Call& call) {
  auto body = decode_body(call.request, *call.kind, false);
  if (!body) return body.error();
  const Json& spec = object_of(*body, "spec");
  for (const std::string& audience : strings_of(spec, "audiences"))
    if (audience != AccountTokens::kIssuer)
      return ApiError::bad_request(fmt::format(
          "tokens are for this API alone: leave spec.audiences out, or name {}", AccountTokens::kIssuer));
  const Json& bound = object_of(spec, "boundObjectRef");
  if (!bound.empty() && text_at(bound, "kind") != "Pod")
    return ApiError::bad_request("spec.boundObjectRef.kind must be Pod");
  AccountTokens::Wish wish{call.target.ns, call.target.name, text_at(bound, "name"), text_at(bound, "uid")};
  if (const std::int64_t asked = integer_at(spec, "expirationSeconds"); asked > 0)
    wish.lifetime = std::chrono::seconds(std::min<std::int64_t>(asked, kTokenSecondsMax));
  auto token = tokens_.issue(wish, std::chrono::system_clock::now());
  if (!token) return token.error();
  Json answer = *body;
  answer["status"] = {{"token", token->text}, {"expirationTimestamp", rfc3339(token->expires)}};
  return json_response(answer, call.request, 201);
}

ApiResult<HttpResponse> HttpApi::pod_log(Call& call) {
  auto pod = rest_.get(*call.kind, call.target.ns, call.target.name);
  if (!pod) return pod.error();
  LogQuery query;
  query.pod_namespace = call.target.ns;
  query.pod = call.target.name;
  query.uid = meta_text(*pod, "uid");
  query.follow = is_true(call.request.parameter("follow"));
  query.previous = is_true(call.request.parameter("previous"));
  query.timestamps = is_true(call.request.parameter("timestamps"));
  const auto number = [&](const char* name, std::optional<std::int64_t>& out) {
    const std::string_view text = call.request.parameter(name);
    std::int64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc{}) out = value;
  };
  number("tailLines", query.tail_lines);
  number("sinceSeconds", query.since_seconds);
  number("limitBytes", query.limit_bytes);
  if (const std::string_view since = call.request.parameter("sinceTime"); !since.empty())
    query.since_time = std::string(since);
  auto container = choose_container(*pod, std::string(call.request.parameter("container")), query.previous);
  if (!container) return container.error();
  query.container = *container;
  HttpResponse response;
  response.content_type = "text/plain";
  if (text_at(object_of(*pod, "spec"), "nodeName").empty())
    return response;  // nobody has run it: nothing yet
  std::unique_ptr<LogStream> stream;
  {
    const MutexLock lock(logs_mutex_);
    if (logs_ == nullptr) return ApiError::bad_request("this server runs no pods, so they have no logs");
    auto opened = logs_->open(query);
    if (!opened && opened.error().code == Code::kNotFound && query.previous)
      return ApiError::bad_request(fmt::format("previous terminated container {} in pod {} not found",
                                               go_quote(query.container), go_quote(query.pod)));
    if (!opened) return ApiError::bad_request(opened.error().message);
    stream = std::move(*opened);
  }
  auto body = std::make_shared<LogBody>(std::move(stream), query.follow);
  remember(body);
  response.stream = std::move(body);
  return response;
}

}  // namespace muster::local
