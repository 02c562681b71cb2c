#pragma once  // local/api/faults.h: answers that go wrong on request, so that clients can be tested
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::local {

enum class FaultKind {
  kConflict,            // 409 Conflict instead of doing it
  kExpired,             // 410 Expired; a watch gets it as an ERROR event
  kTooManyRequests,     // 429 with Retry-After: 1
  kServerError,         // 500 InternalError
  kSlow,                // does it, answers after `delay`
  kCut,                 // closes the connection instead of answering; a watch is cut after its first event
  kTimeoutAfterCommit,  // does it, then answers 504: the client cannot know
};

struct Fault {
  FaultKind kind = FaultKind::kServerError;
  std::string method{};         // "GET", "POST", "WATCH", ...; "" matches every one
  std::string path_contains{};  // "" matches every path
  std::size_t skip = 0;         // matching requests to let pass first
  std::size_t count = 1;        // how many requests it hits after that
  std::chrono::milliseconds delay{0};
};
using FaultScript = std::vector<Fault>;

class Faults {  // thread-safe
 public:
  Faults() = default;
  explicit Faults(FaultScript script) : script_(std::move(script)) {}
  void add(Fault fault);
  // The fault that this request meets, counted down; the first one in the script that matches.
  [[nodiscard]] std::optional<Fault> next(std::string_view method, std::string_view path);

 private:
  std::mutex mutex_;
  FaultScript script_;
};

}  // namespace muster::local
