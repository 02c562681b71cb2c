#pragma once  // local/runtime/dialogue.h: what a probe says over a connection and how it judges the answer.
              // Pure
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster::local {

class Dialogue {
 public:
  struct Verdict {
    bool success = false;
    std::string output;  // for the event when it failed
  };
  virtual ~Dialogue() = default;
  [[nodiscard]] virtual std::string output() = 0;  // bytes to send now, each once
  virtual void input(std::string_view bytes) = 0;  // what the other side sent: anything at all
  virtual void end() = 0;                          // it sends no more: verdict() is there then
  [[nodiscard]] virtual std::optional<Verdict> verdict() const = 0;
};

// One GET as the kubelet's (`get`: the probe's httpGet), judged by the status line: 200 to 399 is success;
// redirects are not followed.
[[nodiscard]] std::unique_ptr<Dialogue> http_get(const Json& get, const std::string& host, int port);

}  // namespace muster::local
