#pragma once  // tests/sim/api_http.h: the model API server's front: HTTP requests into operations on the
              // store
#include <map>
#include <string>
#include <string_view>

#include "api_store.h"
#include "kube/http_transport.h"

namespace muster::sim {

struct ApiRequest {
  std::string verb;      // get, list, watch, create, update, patch, delete, discover
  std::string resource;  // plural
  std::string ns, name, subresource;
  std::map<std::string, std::string> query;

  [[nodiscard]] std::string key() const { return ns.empty() ? name : ns + "/" + name; }
  [[nodiscard]] bool is_write() const {
    return verb != "get" && verb != "list" && verb != "watch" && verb != "discover";
  }
};
[[nodiscard]] std::uint64_t to_number(std::string_view text);  // 0: none
[[nodiscard]] ApiRequest parse_request(const kube::HttpRequest& request);

[[nodiscard]] kube::HttpResponse answer_with(const Refusal& refusal);

// All but watches. A list that may be older than the newest version is as of `lists_from`.
[[nodiscard]] kube::HttpResponse serve(ApiStore& store, const ApiRequest& request, const std::string& body,
                                       std::uint64_t lists_from);

}  // namespace muster::sim
