#pragma once  // common/platform/metrics.h: the registry behind /metrics, and the HTTP server that shows it
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace muster {

// GET /metrics (Prometheus text: the registry, process_metrics.h and `collect`), /healthz and /readyz (200
// "ok" or 503 with the reason) on ip:port; port 0 takes a free one; "::" takes IPv4, too. Serves from one
// thread until destroyed.
//
// Anybody may connect: a request has 2 s to arrive and its answer 10 s to leave, and beyond 64 connections
// the one that has not sent its request for longest is closed. Those that are turned away are counted by
// reason in muster_metrics_connections_refused_total.
class MetricsServer {
 public:
  struct Options {
    std::string ip = "127.0.0.1";
    int port = 0;
    std::function<Status()> healthy = [] { return Status(); };
    std::function<Status()> ready = [] { return Status(); };
    // More families, made at each scrape; on the server's thread. May be empty.
    std::function<std::vector<prometheus::MetricFamily>()> collect{};
  };
  // Errors: kAlreadyExists: the port is in use (names address and remedy).
  [[nodiscard]] static Result<std::unique_ptr<MetricsServer>> start(
      std::shared_ptr<prometheus::Registry> registry, Options options);
  virtual ~MetricsServer() = default;
  [[nodiscard]] virtual int port() const = 0;
};

}  // namespace muster
