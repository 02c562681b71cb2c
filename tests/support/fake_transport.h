#pragma once  // tests/support/fake_transport.h: an HttpTransport that answers from a script and keeps what it
              // was asked
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/json/fields.h"
#include "kube/http_transport.h"

namespace muster::kube {

// Answers in the order of the script; a request beyond its end gets 404, a stream beyond it waits for its
// stop token. Thread-safe.
class FakeTransport final : public HttpTransport {
 public:
  class Feed {  // pieces of streams that stay open, as the test has them
   public:
    void push(std::string piece) {
      const std::lock_guard lock(mutex_);
      pieces_.push_back(std::move(piece));
      changed_.notify_all();
    }
    // Gives out the pieces until `stop`.
    void drain(const std::stop_token& stop, const std::function<bool(std::string_view)>& on_bytes) {
      std::unique_lock lock(mutex_);
      while (changed_.wait(lock, stop, [this] { return !pieces_.empty(); })) {
        const std::string piece = std::move(pieces_.front());
        pieces_.pop_front();
        lock.unlock();
        if (!on_bytes(piece)) return;
        lock.lock();
      }
    }

   private:
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<std::string> pieces_;
  };
  struct Stream {  // a watch or log: these pieces, then the end
    std::vector<std::string> pieces{};
    std::optional<Error> end{};     // none: in good order
    bool stays_open = false;        // until stopped
    std::function<void()> after{};  // called when the pieces are delivered
    std::shared_ptr<Feed> feed{};   // more pieces, until stopped
  };
  using Answer = std::variant<HttpResponse, Error, Stream>;

  void will(Answer answer) {
    const std::lock_guard lock(mutex_);
    script_.push_back(std::move(answer));
  }
  // What a request beyond the script's end gets.
  void otherwise(std::function<Answer(const HttpRequest&)> answer) {
    const std::lock_guard lock(mutex_);
    otherwise_ = std::move(answer);
  }
  void will_json(int status, const Json& body, Headers headers = {}) {
    will(HttpResponse{.status = status, .headers = std::move(headers), .body = body.dump()});
  }

  Result<HttpResponse> send(const HttpRequest& request, Deadline) override {
    Answer answer = next(request, HttpResponse{.status = 404, .headers = {}, .body = "the script has ended"});
    if (auto* error = std::get_if<Error>(&answer)) return *error;
    if (auto* response = std::get_if<HttpResponse>(&answer)) return std::move(*response);
    return internal_error("the script has a stream here, the request was none");
  }

  Result<HttpResponse> stream(const HttpRequest& request, const StreamOptions& options,
                              const std::function<bool(std::string_view)>& on_bytes) override {
    Answer answer = next(request, Stream{.pieces = {}, .end = {}, .stays_open = true, .after = {}});
    if (auto* error = std::get_if<Error>(&answer)) return *error;
    if (auto* response = std::get_if<HttpResponse>(&answer)) {
      if (response->status < 300) static_cast<void>(on_bytes(response->body));
      return std::move(*response);
    }
    const auto& script = std::get<Stream>(answer);
    for (const std::string& piece : script.pieces) {
      if (!on_bytes(piece)) return HttpResponse{.status = 200, .headers = {}, .body = {}};
    }
    if (script.after) script.after();
    if (script.feed) {
      script.feed->drain(options.stop, on_bytes);
      return Error{Code::kCancelled, "stopped"};
    }
    if (script.stays_open) {
      std::mutex mutex;
      std::condition_variable_any wake;
      std::unique_lock lock(mutex);
      wake.wait(lock, options.stop, [] { return false; });
      return Error{Code::kCancelled, "stopped"};
    }
    if (script.end) return *script.end;
    return HttpResponse{.status = 200, .headers = {}, .body = {}};
  }

  [[nodiscard]] std::vector<HttpRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  // Waits until `count` requests have come; false at the deadline.
  [[nodiscard]] bool wait_for_requests(std::size_t count,
                                       std::chrono::seconds limit = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    return asked_.wait_for(lock, limit, [&] { return requests_.size() >= count; });
  }

 private:
  Answer next(const HttpRequest& request, Answer last_resort) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    asked_.notify_all();
    if (script_.empty()) return otherwise_ ? otherwise_(request) : std::move(last_resort);
    Answer answer = std::move(script_.front());
    script_.pop_front();
    return answer;
  }

  mutable std::mutex mutex_;
  std::condition_variable asked_;
  std::deque<Answer> script_;
  std::function<Answer(const HttpRequest&)> otherwise_;
  std::vector<HttpRequest> requests_;
};

}  // namespace muster::kube
