#pragma once  // local/api/http_api.h: the Kubernetes API as a function from request to response
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/platform/mutex.h"
#include "local/api/account_tokens.h"
#include "local/api/http_message.h"
#include "local/api/kind.h"
#include "local/api/log_source.h"
#include "local/api/object_store.h"
#include "local/api/render.h"
#include "local/api/rest.h"
#include "local/api/timer_queue.h"

namespace muster::local {

class AuditLog;

// What a path and its query are about.
struct RequestTarget {
  std::string group, version, plural, ns, name, subresource;
  bool watch_path = false;  // the old form /watch/...
};

class HttpApi {  // thread-safe
 public:
  struct Options {
    std::string token;          // of the user who may do everything; "" makes everybody that user
    bool watch_list = false;    // the feature gate WatchList, off in Kubernetes 1.33: sendInitialEvents
    AuditLog* audit = nullptr;  // hears of every request but those of this process; outlives this object
  };
  HttpApi(ObjectStore& store, Kinds& kinds, Rest& rest, Options options);
  virtual ~HttpApi();

  // Whether it shows the token, or one of an account; handle() refuses it with 401 if not.
  [[nodiscard]] bool admits(const HttpRequest& request) const;
  // Never throws; every refusal is a Status. Virtual for tests, which answer late or wrongly.
  [[nodiscard]] virtual HttpResponse handle(const HttpRequest& request);
  // The same without the token, for the node.
  [[nodiscard]] HttpResponse handle_trusted(const HttpRequest& request);

  void attach_logs(LogSource* logs);
  [[nodiscard]] Rest& rest() { return rest_; }
  [[nodiscard]] const AccountTokens& account_tokens() const { return tokens_; }
  // Ends all streams.
  void close();

 private:
  struct Call;  // one request on its way

  [[nodiscard]] std::optional<User> user_of(const HttpRequest& request) const;
  [[nodiscard]] HttpResponse dispatch(const HttpRequest& request, const User& user, bool trusted);
  [[nodiscard]] std::optional<HttpResponse> serve_fixed(const HttpRequest& request);
  [[nodiscard]] ApiResult<HttpResponse> serve_resource(const HttpRequest& request,
                                                       const RequestTarget& target, const User& user,
                                                       bool trusted);
  [[nodiscard]] ApiResult<HttpResponse> serve_collection(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> serve_object(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> serve_subresource(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> get(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> list(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> watch(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> create(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> update(Call& call);
  // What a patch leaves is the object that it was for.
  [[nodiscard]] static ApiStatus check_patched(const Call& call, const Json& object, const Json& current);
  [[nodiscard]] ApiResult<HttpResponse> patch(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> remove(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> remove_collection(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> scale(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> pod_log(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> bind(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> evict(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> review(Call& call);
  [[nodiscard]] ApiResult<HttpResponse> account_token(Call& call);
  void remember(const std::shared_ptr<BodyStream>& stream);

  ObjectStore& store_;
  Kinds& kinds_;
  Rest& rest_;
  const Options options_;
  const AccountTokens tokens_;
  TimerQueue timers_;
  Mutex mutex_;
  std::vector<std::weak_ptr<BodyStream>> streams_ MUSTER_GUARDED_BY(mutex_);
  bool closed_ MUSTER_GUARDED_BY(mutex_) = false;
  Mutex logs_mutex_;  // held while a log is being opened
  LogSource* logs_ MUSTER_GUARDED_BY(logs_mutex_) = nullptr;
};

}  // namespace muster::local
