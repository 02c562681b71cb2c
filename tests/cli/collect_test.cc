// tests/cli/collect_test.cc: what cli/collect promises
#include "cli/collect.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/cli/builders.h"
#include "tests/support/temporary_folder.h"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;

class CollectTest : public ::testing::Test {
 protected:
  Outcome outcome_with_history() {
    Outcome outcome;
    outcome.view = view_job(testing::job().json);
    outcome.view.history = {{10, 0.5, 0.75}};
    return outcome;
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(CollectTest, KeepsTheHistoryAndDrawsIt) {
  Outcome outcome = outcome_with_history();
  collect_files(outcome, testing::job().json, folder_ / "volumes", folder_ / "ring");
  EXPECT_TRUE(fs::exists(outcome.history_file)) << outcome.history_file;
  EXPECT_TRUE(fs::exists(outcome.plot_file)) << outcome.plot_file;
  EXPECT_TRUE(outcome.lost_files.empty());
}

TEST_F(CollectTest, TellsWhichFilesAreLost) {
  std::ofstream(folder_ / "ring") << "a file where the folder should be";
  Outcome outcome = outcome_with_history();
  collect_files(outcome, testing::job().json, folder_ / "volumes", folder_ / "ring");
  EXPECT_EQ(outcome.history_file, "");
  ASSERT_EQ(outcome.lost_files.size(), 2U);
  EXPECT_NE(outcome.lost_files[0].find((folder_ / "ring").string()), std::string::npos)
      << outcome.lost_files[0];
}

}  // namespace
}  // namespace muster::cli
