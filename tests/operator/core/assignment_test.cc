// tests/operator/core/assignment_test.cc: what the pods of a pass are told takes memory once
#include "operator/core/assignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

TEST(DistributedJob, TheAssignmentsOfAPassShareOneRoster) {
  ClusterModel cluster(job().workers(100).json());
  cluster.settle();
  cluster.start_pods();
  std::set<const control::v1::Assignment*> copies;
  std::size_t own_bytes = 0;
  for (int passes = 0; copies.empty() && passes < 5; ++passes) {
    const Decision decision = cluster.decide();
    for (const Action& action : decision.actions) {
      if (const auto* call = std::get_if<ConfigurePod>(&action)) {
        copies.insert(call->common.get());
        own_bytes = std::max(own_bytes, call->own.ByteSizeLong());
      }
      cluster.apply(action);
    }
  }
  EXPECT_EQ(copies.size(), 1U);
  EXPECT_LT(own_bytes, 16U);
}

}  // namespace
}  // namespace muster::op::testing
