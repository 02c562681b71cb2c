// common/platform/metrics.cc: /metrics, /healthz and /readyz
#include "common/platform/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/platform/http_server.h"
#include "common/platform/metric_families.h"
#include "common/platform/process_metrics.h"

namespace muster {
namespace {

// So many pages are made in this time, and no more: one takes a millisecond or several.
constexpr int kPagesMax = 20;
constexpr std::chrono::milliseconds kPagesTime{100};

// Why connections were turned away, and how often; of a port without TLS.
class Refusals {
 public:
  void count(std::string_view reason) {
    const auto* const found = std::ranges::find(kHttpRefusals, reason);
    if (found != std::end(kHttpRefusals)) ++counts_[static_cast<std::size_t>(found - kHttpRefusals)];
  }
  [[nodiscard]] prometheus::MetricFamily family() const {
    prometheus::MetricFamily all = collected_family("muster_metrics_connections_refused_total");
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (kHttpRefusals[i] == "plaintext" || kHttpRefusals[i] == "handshake") continue;
      prometheus::ClientMetric& series = all.metric.emplace_back();
      series.label = {{"reason", std::string(kHttpRefusals[i])}};
      series.counter.value = static_cast<double>(counts_[i].load());
    }
    return all;
  }

 private:
  std::array<std::atomic<std::uint64_t>, std::size(kHttpRefusals)> counts_{};
};

class Pages final : public MetricsServer {
 public:
  Pages(std::shared_ptr<prometheus::Registry> registry, Options options)
      : registry_(std::move(registry)), options_(std::move(options)) {}

  Status serve() {
    HttpServer::Options server{.ip = options_.ip, .port = options_.port, .purpose = "/metrics"};
    server.handler = [this](const HttpRequest& request, const HttpServer::Reply& reply) {
      reply(answer(request));
    };
    server.refused = [this](std::string_view reason) { refusals_.count(reason); };
    MUSTER_ASSIGN(server_, HttpServer::start(std::move(server)));
    return {};
  }

  [[nodiscard]] int port() const override { return server_->port(); }

 private:
  [[nodiscard]] HttpAnswer answer(const HttpRequest& request) {
    if (request.method != "GET" && request.method != "HEAD") return {.code = 405, .body = "only GET\n"};
    const std::string_view path = std::string_view(request.target).substr(0, request.target.find('?'));
    if (path == "/metrics") {
      return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = page()};
    }
    if (path == "/healthz") return state(options_.healthy);
    if (path == "/readyz") return state(options_.ready);
    return {.code = 404, .body = "there are /metrics, /healthz and /readyz\n"};
  }
  [[nodiscard]] std::vector<prometheus::MetricFamily> families() const {
    std::vector<prometheus::MetricFamily> all = registry_->Collect();
    std::ranges::move(process_families(), std::back_inserter(all));
    all.push_back(refusals_.family());
    if (options_.collect) std::ranges::move(options_.collect(), std::back_inserter(all));
    return all;
  }
  // Whoever asks for pages without end gets the one of before, and leaves the thread time for probes.
  [[nodiscard]] const std::string& page() {
    const auto now = std::chrono::steady_clock::now();
    if (now - since_ >= kPagesTime) {
      since_ = now;
      made_ = 0;
    }
    if (made_ < kPagesMax) {
      ++made_;
      page_ = prometheus::TextSerializer().Serialize(families());
    }
    return page_;
  }
  static HttpAnswer state(const std::function<Status()>& check) {
    const Status status = check ? check() : Status();
    if (status) return {.body = "ok\n"};
    return {.code = 503, .body = status.error().message + "\n"};
  }

  std::shared_ptr<prometheus::Registry> registry_;
  Options options_;
  Refusals refusals_;
  std::string page_;  // of the server's thread, as the next two
  int made_ = 0;      // pages, since
  std::chrono::steady_clock::time_point since_{};
  std::unique_ptr<HttpServer> server_;  // last: it calls the others
};

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(std::shared_ptr<prometheus::Registry> registry,
                                                            Options options) {
  auto server = std::make_unique<Pages>(std::move(registry), std::move(options));
  MUSTER_TRY(server->serve());
  return std::unique_ptr<MetricsServer>(std::move(server));
}

}  // namespace muster
