#pragma once  // local/tests/api/harness.h: the whole API without a socket
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>

#include "local/api/controllers.h"
#include "local/api/http_api.h"
#include "local/api/yaml.h"

namespace muster::local {

class Api {
 public:
  explicit Api(HttpApi::Options options = {}, std::chrono::seconds event_lifetime = std::chrono::hours(1))
      : controllers(store, kinds, rest, event_lifetime), http(store, kinds, rest, std::move(options)) {
    rest.set_hooks(&controllers);
    controllers.start();
  }
  ~Api() {
    http.close();
    store.close();
    controllers.stop();
  }

  HttpResponse call(const std::string& method, const std::string& target, const Json& body = nullptr,
                    const std::string& content_type = "application/json", const std::string& accept = "") {
    HttpRequest request;
    request.method = method;
    EXPECT_TRUE(parse_target(target, request.path, request.query));
    if (!body.is_null()) request.body = body.is_string() ? body.get<std::string>() : body.dump();
    request.headers["content-type"] = content_type;
    request.headers["user-agent"] = "test/1";
    if (!accept.empty()) request.headers["accept"] = accept;
    return http.handle(request);
  }
  Json json(const std::string& method, const std::string& target, const Json& body = nullptr,
            const std::string& content_type = "application/json") {
    return Json::parse(call(method, target, body, content_type).body);
  }
  Json get(const std::string& target, const std::string& accept = "") {
    return Json::parse(call("GET", target, nullptr, "", accept).body);
  }
  Json merge(const std::string& target, const Json& patch) {
    return json("PATCH", target, patch, "application/merge-patch+json");
  }
  Json apply(const std::string& target, const std::string& manager, const Json& config, bool force = false) {
    return json("PATCH", target + "?fieldManager=" + manager + (force ? "&force=true" : ""), config,
                "application/apply-patch+yaml");
  }

  ObjectStore store;
  Kinds kinds;
  Rest rest{store, kinds};
  Controllers controllers;
  HttpApi http;
};

// Reads a stream until `count` lines have come or ten seconds have passed.
inline std::vector<Json> read_events(BodyStream& stream, std::size_t count) {
  std::vector<Json> events;
  std::string text;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (events.size() < count && std::chrono::steady_clock::now() < deadline) {
    std::string piece;
    const auto state = stream.pull(piece);
    text += piece;
    for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      events.push_back(Json::parse(text.substr(0, end)));
      text.erase(0, end + 1);
    }
    if (state == BodyStream::State::kEnd) break;
    if (state != BodyStream::State::kPending) continue;
    struct Signal {
      std::mutex mutex;
      std::condition_variable changed;
      bool ready = false;
    };
    const auto signal = std::make_shared<Signal>();
    stream.when_ready([signal] {
      const std::lock_guard lock(signal->mutex);
      signal->ready = true;
      signal->changed.notify_all();
    });
    std::unique_lock lock(signal->mutex);
    signal->changed.wait_until(lock, deadline, [&] { return signal->ready; });
  }
  return events;
}

// Waits until `done` holds, ten seconds at most.
template <typename Done>
bool eventually(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

inline Json config_map(const std::string& name, Json data = Json::object()) {
  return Json{{"apiVersion", "v1"},
              {"kind", "ConfigMap"},
              {"metadata", Json{{"name", name}}},
              {"data", std::move(data)}};
}

// A small CRD, `things.example.dev`, with a default, a bound and two rules.
inline Json thing_crd() {
  return *parse_yaml(R"(
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.dev}
spec:
  group: example.dev
  scope: Namespaced
  names: {kind: Thing, plural: things, shortNames: [th]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [owner]
            x-kubernetes-validations:
            - {rule: '!has(self.parts) || self.parts.all(p, p.weight <= self.size)', message: too heavy, fieldPath: .parts, reason: FieldValueForbidden}
            properties:
              owner: {type: string, minLength: 2}
              mode: {type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: mode is immutable}]}
              size: {type: integer, minimum: 1, maximum: 100, default: 10}
              replicas: {type: integer, default: 1}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, weight: {type: integer, default: 1}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status:
            type: object
            properties:
              replicas: {type: integer}
              phase: {type: string}
              conditions: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
)");
}
inline constexpr const char* kThings = "/apis/example.dev/v1/namespaces/default/things";

inline Json thing(const std::string& name, Json spec) {
  return Json{{"apiVersion", "example.dev/v1"},
              {"kind", "Thing"},
              {"metadata", Json{{"name", name}}},
              {"spec", std::move(spec)}};
}
inline void install_things(Api& api) {
  const auto answer =
      api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", thing_crd());
  ASSERT_EQ(answer.status, 201) << answer.body;
}

}  // namespace muster::local
