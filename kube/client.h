#pragma once  // kube/client.h: typed verbs on untyped objects: a Kubernetes API client
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "kube/http_transport.h"
#include "kube/kube_config.h"
#include "kube/request.h"
#include "kube/watch_decoder.h"

namespace muster::kube {

struct ListPage {
  std::vector<Json> items;  // with kind and apiVersion filled in
  std::string resource_version;
  std::string continue_token;  // empty: the last page
};

// Thread-safe. Every call sends `User-Agent: muster/version (os/arch)` and the identity; 401 asks the
// identity source anew and retries once; 429 and 5xx with Retry-After wait that long and retry, 10 times at
// most, within `request_timeout` and until `stop`: then the answer that asked to wait is returned. Errors:
// the codes of to_error (api_error.h) and of HttpTransport.
class Client {
 public:
  struct Options {
    std::chrono::milliseconds request_timeout{30'000};
    std::stop_token stop;  // ends waits for a Retry-After at once, now and later; requests still go out
    std::function<void(std::string_view method, std::string_view code)> on_answer;  // "200" or "<error>"
    std::function<void(const std::string&)> on_warning;    // a `Warning:` header, once per text
    std::function<void(std::chrono::milliseconds)> sleep;  // for tests; default: this thread, until `stop`
    // Asked right before each try of a request that is no GET: by when it must be over, or the error to
    // return instead of sending it.
    std::function<Result<Deadline>()> may_write{};
  };
  Client(std::shared_ptr<HttpTransport> transport, std::shared_ptr<IdentitySource> identity, Options options);

  [[nodiscard]] Result<Json> get(const Resource& resource, std::string_view ns, std::string_view name);
  [[nodiscard]] Result<ListPage> list(const Resource& resource, std::string_view ns,
                                      const ListOptions& options = {});
  // All pages of one list; starts over once when a page's token has expired.
  [[nodiscard]] Result<ListPage> list_all(const Resource& resource, std::string_view ns,
                                          ListOptions options = {});
  // `warnings` gets what the server says of the object in `Warning:` headers.
  [[nodiscard]] Result<Json> create(const Resource& resource, std::string_view ns, const Json& object,
                                    const CreateOptions& options = {},
                                    std::vector<std::string>* warnings = nullptr);
  [[nodiscard]] Result<Json> replace(const Resource& resource, std::string_view ns, std::string_view name,
                                     const Json& object, std::string_view subresource = {});
  [[nodiscard]] Result<Json> patch(const Resource& resource, std::string_view ns, std::string_view name,
                                   PatchType type, const Json& body, const PatchOptions& options = {});
  // The answer is the object (going away) or a Status. kNotFound: it was gone already.
  [[nodiscard]] Result<Json> remove(const Resource& resource, std::string_view ns, std::string_view name,
                                    const DeleteOptions& options = {});

  // Delivers events until the server ends the watch (OK), `stop` is requested (kCancelled) or it breaks. An
  // ERROR event ends it with that error. `on_event` runs on a transport thread and returns false to end the
  // watch.
  [[nodiscard]] Status watch(const Resource& resource, std::string_view ns, const WatchOptions& options,
                             const std::stop_token& stop, const std::function<bool(WatchEvent)>& on_event);

  // Streams a container's log; with follow, until the container ends or `stop`.
  [[nodiscard]] Status logs(std::string_view ns, std::string_view pod, const LogOptions& options,
                            const std::stop_token& stop,
                            const std::function<bool(std::string_view)>& on_bytes);

  // Any request, e.g. GET /version, or a list with `Accept: ...;as=Table;...`. Answers of 400 and above are
  // errors.
  [[nodiscard]] Result<HttpResponse> raw(HttpRequest request);

 private:
  [[nodiscard]] Result<HttpResponse> send(HttpRequest request);
  [[nodiscard]] Result<Json> send_json(HttpRequest request, std::string_view what,
                                       std::vector<std::string>* warnings = nullptr);
  [[nodiscard]] Result<HttpResponse> open_stream(HttpRequest request, const StreamOptions& options,
                                                 const std::function<bool(std::string_view)>& on_bytes);
  [[nodiscard]] Status authorize(HttpRequest& request);
  void observe(const HttpRequest& request, const Result<HttpResponse>& answer);

  struct State;
  std::shared_ptr<HttpTransport> transport_;
  std::shared_ptr<IdentitySource> identity_;
  Options options_;
  std::shared_ptr<State> state_;
};

// A client over cpprestsdk for this cluster. Opens no connection yet.
[[nodiscard]] Result<std::unique_ptr<Client>> make_client(const ClusterConfig& config,
                                                          Client::Options options = {});

}  // namespace muster::kube
