// tests/common/metrics_test.cc: the metrics server answers, and says when its port is taken
#include "common/platform/metrics.h"

#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

namespace muster {
namespace {

TEST(MetricsServer, SaysThatThePortIsInUse) {
  auto registry = std::make_shared<prometheus::Registry>();
  auto first = MetricsServer::start(registry, {});
  ASSERT_TRUE(first) << first.error().message;
  auto second = MetricsServer::start(
      registry, {.ip = "127.0.0.1", .port = (*first)->port(), .healthy = {}, .ready = {}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
}

}  // namespace
}  // namespace muster
