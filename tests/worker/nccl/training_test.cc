// tests/worker/nccl/training_test.cc: the engine trains through the fake NCCL: the same bits as over the mesh
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/mesh_support.h"
#include "tests/worker/nccl/fake.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/small_job.h"
#include "worker/engine/train_loop.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::nccl::test {
namespace {

using namespace worker::test;  // NOLINT(google-build-using-namespace): its small job

// Two ranks: of two values there is one sum, whatever the order.
std::vector<std::vector<float>> trained(bool by_nccl) {
  const spec::Training spec = training(4, 3);
  const learning::Dataset data = dataset(50, 9);
  auto meshes = tcp_mesh(2, Wires::kPlain);
  std::vector<std::vector<float>> parameters(2);
  on_all_ranks(2, [&](int rank) {
    const auto i = static_cast<std::size_t>(rank);
    Group group({.names = names_of(Fake::kCurrent), .abort_time = std::chrono::seconds(5)});
    std::unique_ptr<Collective> collective;
    if (by_nccl) {
      auto made = group.meet({.number = 1, .peers = {"a:1", "b:1"}}, *meshes[i], Topology::kRing, soon());
      ASSERT_TRUE(made) << made.error().message;
      collective = *std::move(made);
    } else {
      collective = std::make_unique<MeshCollective>(std::move(meshes[i]), Topology::kRing);
    }
    QuadraticModel model(kParameters);
    auto optimizer = learning::make_optimizer(spec.optimizer, kParameters);
    const auto sum = dense_sum(*collective, {});
    DataParallel parallel({*collective, *sum, *optimizer}, std::chrono::seconds(30));
    TrainLoop loop(
        {.collective = *collective, .model = model, .synchronizer = parallel, .training = spec, .data = data},
        {.timeout = std::chrono::seconds(30), .start_timeout = std::chrono::seconds(30)}, {});
    auto outcome = loop.run({});
    ASSERT_TRUE(outcome) << outcome.error().message;
    parameters[i] = outcome->state.parameters;
    EXPECT_EQ(parallel.sums().topology, by_nccl ? "NCCL" : "Ring");
    collective->leave({});
  });
  return parameters;
}

TEST(NcclTraining, EndsWithTheSameBitsAsARingOfTheMesh) {
  const auto by_ring = trained(false);
  const auto by_nccl = trained(true);
  EXPECT_EQ(by_nccl[0], by_nccl[1]);
  EXPECT_EQ(by_nccl, by_ring);
}

}  // namespace
}  // namespace muster::worker::nccl::test
