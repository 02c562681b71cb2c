#pragma once  // kube/metrics.h: the series that controllers built on controller-runtime have, under the same
              // names
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <string_view>

#include "kube/work_queue.h"

namespace muster::kube {

// workqueue_{depth,adds_total,queue_duration_seconds,work_duration_seconds,retries_total,unfinished_work_seconds,
// longest_running_processor_seconds}{name,controller}.
class QueueMetrics final : public QueueObserver {
 public:
  QueueMetrics(prometheus::Registry& registry, const std::string& name);
  void added(std::size_t depth) override;
  void started(std::size_t depth, double waited_seconds) override;
  void finished(double worked_seconds) override;
  void retried() override;
  void sample(const WorkQueue& queue);  // of what only grows by waiting; call now and then

 private:
  prometheus::Gauge& depth_;
  prometheus::Counter& adds_;
  prometheus::Histogram& queue_seconds_;
  prometheus::Histogram& work_seconds_;
  prometheus::Counter& retries_;
  prometheus::Gauge& unfinished_;
  prometheus::Gauge& longest_;
};

// rest_client_requests_total{code,method,host}; thread-safe.
class RequestMetrics {
 public:
  RequestMetrics(prometheus::Registry& registry, std::string host);
  void count(std::string_view method, std::string_view code);

 private:
  prometheus::Family<prometheus::Counter>& requests_;
  std::string host_;
};

}  // namespace muster::kube
