// tests/cli/local_state_test.cc: what cli/local_state promises
#include "cli/local_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace muster::cli {
namespace {

class LocalUp : public ::testing::Test {
 protected:
  LocalUp() { ::setenv("XDG_RUNTIME_DIR", folder_.c_str(), 1); }
  ~LocalUp() override { ::unsetenv("XDG_RUNTIME_DIR"); }
  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
};

TEST_F(LocalUp, IsFoundWhileItIsHeldAndNotAfterwards) {
  EXPECT_FALSE(find_local_up());
  {
    auto claim = LocalClaim::take();
    ASSERT_TRUE(claim) << claim.error().message;
    ASSERT_TRUE(claim->publish({42, "https://127.0.0.1:1", "/run/kubeconfig"}));
    const auto found = find_local_up();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->url, "https://127.0.0.1:1");
    EXPECT_EQ(found->kubeconfig, "/run/kubeconfig");
  }
  EXPECT_FALSE(find_local_up());
}

TEST_F(LocalUp, RefusesASecondOneWithTheAddressOfTheFirst) {
  auto first = LocalClaim::take();
  ASSERT_TRUE(first);
  ASSERT_TRUE(first->publish({42, "https://127.0.0.1:4711", "/run/kubeconfig"}));
  const auto second = LocalClaim::take();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_THAT(second.error().message, ::testing::HasSubstr("https://127.0.0.1:4711"));
}

TEST_F(LocalUp, IgnoresWhatADeadOneLeft) {
  std::filesystem::create_directories(folder_ / "muster");
  std::ofstream(folder_ / "muster" / "local.json") << R"({"pid":1,"url":"https://x","kubeconfig":"/x"})";
  EXPECT_FALSE(find_local_up());
  EXPECT_TRUE(LocalClaim::take());
}

}  // namespace
}  // namespace muster::cli
