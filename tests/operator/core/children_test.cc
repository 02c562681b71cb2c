// tests/operator/core/children_test.cc: which children a DistributedJob has: a Service or none, pods or none
#include <gmock/gmock.h>

#include "cluster_model.h"

namespace muster::op::testing {
namespace {

TEST(Children, OnlyAProgramOfTheUsersOwnGetsAService) {
  ClusterModel own(job().workers(2).plain().json());
  own.settle();
  EXPECT_EQ(own.service, ServiceState::kOurs);
  ClusterModel training(job().workers(2).json());
  training.bring_up();
  EXPECT_EQ(training.status().phase, "Running");
  EXPECT_EQ(training.service, ServiceState::kAbsent);
  EXPECT_EQ(training.pass(), 0U);
}

TEST(Children, WhatHasTheNameOfItsServiceDoesNotHoldUpATraining) {
  for (const ServiceState service :
       {ServiceState::kForeign, ServiceState::kPredecessors, ServiceState::kOurs}) {
    ClusterModel cluster(job().workers(2).json());
    cluster.service = service;
    cluster.bring_up();
    EXPECT_EQ(cluster.status().phase, "Running");
    EXPECT_TRUE(cluster.is("PodsReady"));
    EXPECT_EQ(cluster.service, service) << "left alone; its owner takes it along";
  }
}

TEST(Children, ScaledToZeroItIsSuspendedAndScaledUpItRunsOn) {
  ClusterModel cluster(job().workers(2).json());
  cluster.bring_up();
  cluster.object["spec"]["workers"]["replicas"] = 0;
  cluster.settle();
  cluster.finish_deletions();
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.status().phase, "Suspended") << "not Succeeded, though no worker is left to wait for";
  EXPECT_EQ(cluster.status().ready, "0/0");
  EXPECT_EQ(cluster.condition("Suspended")->message, "spec.workers.replicas is 0");
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "Suspended");
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.object["spec"]["workers"]["replicas"] = 3;
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.pods.size(), 3U);
  EXPECT_FALSE(cluster.is("Suspended"));
  EXPECT_EQ(cluster.status().restarts, 0);
}

TEST(Children, CreatedWithZeroWorkersItIsHeldUntilScaledUp) {
  ClusterModel cluster(job().workers(0).json());
  cluster.settle();
  EXPECT_TRUE(cluster.pods.empty());
  EXPECT_EQ(cluster.status().phase, "Suspended");
  EXPECT_EQ(cluster.condition("PodsReady")->reason, "Suspended");
  EXPECT_EQ(cluster.pass(), 0U);
  cluster.object["spec"]["workers"]["replicas"] = 2;
  cluster.bring_up();
  EXPECT_EQ(cluster.status().phase, "Running");
  EXPECT_EQ(cluster.pods.size(), 2U);
}

}  // namespace
}  // namespace muster::op::testing
