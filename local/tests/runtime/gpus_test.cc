// local/tests/runtime/gpus_test.cc: every GPU has one owner, and every container sees its own
#include "local/runtime/gpus.h"

#include <gtest/gtest.h>

#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

using Names = std::vector<std::string>;

Json container(const std::string& name, int gpus, bool sidecar = false) {
  Json out{{"name", name}, {"resources", {{"limits", {{"nvidia.com/gpu", std::to_string(gpus)}}}}}};
  if (gpus == 0) out.erase("resources");
  if (sidecar) out["restartPolicy"] = "Always";
  return out;
}

TEST(Gpus, HaveOneOwnerAtATime) {
  GpuPool pool({"0", "1", "2"});
  const auto first = pool.take(2);
  EXPECT_EQ(first, (Names{"0", "1"}));
  EXPECT_EQ(pool.take(2), std::nullopt);
  EXPECT_EQ(pool.take(1), Names{"2"});
  pool.give_back(*first);
  EXPECT_EQ(pool.take(2), (Names{"0", "1"}));
  EXPECT_EQ(pool.take(0), Names{});
}

TEST(Gpus, AreSharedOutAmongTheContainersOfAPod) {
  const Json pod{{"spec",
                  {{"initContainers", {container("setup", 2), container("side", 1, true)}},
                   {"containers", {container("one", 1), container("none", 0), container("two", 2)}}}}};
  const Names own{"4", "5", "6", "7"};
  const auto seen = [&](const Json& which) {
    return gpu_variables(pod, which, own, {"0", "4", "5", "6", "7"});
  };
  const Json& spec = pod["spec"];
  EXPECT_EQ(seen(spec["initContainers"][0])[0].second, "4,5") << "it runs before the others";
  EXPECT_EQ(seen(spec["initContainers"][1])[0].second, "4");
  EXPECT_EQ(seen(spec["containers"][0])[0].second, "5");
  EXPECT_EQ(seen(spec["containers"][2])[0].second, "6,7");
  EXPECT_EQ(seen(spec["containers"][2])[1],
            (std::pair<std::string, std::string>("NVIDIA_VISIBLE_DEVICES", "6,7")));
  EXPECT_EQ(seen(spec["containers"][1])[0],
            (std::pair<std::string, std::string>("CUDA_VISIBLE_DEVICES", "")));
  EXPECT_EQ(seen(spec["containers"][1])[1].second, "void");
}

TEST(Gpus, AreNotSpokenOfOnAMachineWithout) {
  const Json pod{{"spec", {{"containers", {container("one", 0)}}}}};
  EXPECT_TRUE(gpu_variables(pod, pod["spec"]["containers"][0], {}, {}).empty());
}

}  // namespace
}  // namespace muster::local
