// local/runtime/http_get.cc: the request of an httpGet probe and its answer's status line
#include <fmt/format.h>

#include <cstdlib>
#include <utility>

#include "local/runtime/dialogue.h"
#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

constexpr std::size_t kStatusLineBytes = 8 * 1024;

std::string request(const Json& get, const std::string& host, int port) {
  std::string path = text(member(get, "path"), "/");
  if (!path.starts_with('/')) path = fmt::format("/{}", path);
  std::string headers;
  bool has_host = false;
  for (const Json& header : member(get, "httpHeaders")) {
    const std::string name = text(member(header, "name"));
    has_host = has_host || name == "Host" || name == "host";
    headers += fmt::format("{}: {}\r\n", name, text(member(header, "value")));
  }
  if (!has_host) headers += fmt::format("Host: {}:{}\r\n", host, port);
  return fmt::format(
      "GET {} HTTP/1.1\r\n{}User-Agent: kube-probe/1.33\r\nAccept: */*\r\nConnection: close\r\n\r\n", path,
      headers);
}

class HttpGet : public Dialogue {
 public:
  explicit HttpGet(std::string request) : request_(std::move(request)) {}

  std::string output() override { return std::exchange(request_, ""); }
  void input(std::string_view bytes) override {
    if (verdict_) return;
    answer_.append(bytes.substr(0, kStatusLineBytes - answer_.size()));
    if (answer_.find('\n') != std::string::npos || answer_.size() >= kStatusLineBytes) end();
  }
  void end() override {
    if (verdict_) return;
    // "HTTP/1.1 200 OK"
    const std::size_t space = answer_.find(' ');
    const long code = answer_.starts_with("HTTP/") && space != std::string::npos
                          ? std::strtol(answer_.c_str() + space + 1, nullptr, 10)
                          : 0;
    verdict_ = {.success = code >= 200 && code < 400,
                .output = code == 0 ? "not an HTTP answer"
                                    : fmt::format("HTTP probe failed with statuscode: {}", code)};
  }
  std::optional<Verdict> verdict() const override { return verdict_; }

 private:
  std::string request_;
  std::string answer_;
  std::optional<Verdict> verdict_;
};

}  // namespace

std::unique_ptr<Dialogue> http_get(const Json& get, const std::string& host, int port) {
  return std::make_unique<HttpGet>(request(get, host, port));
}

}  // namespace muster::local
