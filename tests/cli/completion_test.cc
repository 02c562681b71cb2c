// tests/cli/completion_test.cc: what cli/completion promises (what `muster completion SHELL` prints)
#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

TEST(Completion, KnowsEveryVerbInEveryShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = completion_script(shell);
    ASSERT_TRUE(script) << shell;
    for (const char* verb :
         {"run", "get", "logs", "describe", "plot", "history", "convert", "local", "version", "completion"}) {
      EXPECT_THAT(*script, ::testing::HasSubstr(verb)) << shell;
    }
  }
  EXPECT_FALSE(completion_script("cmd"));
}

TEST(Completion, KnowsWhichContextsThereAre) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = completion_script(shell);
    ASSERT_TRUE(script) << shell;
    for (const char* asked : {"get-contexts -o name", "get-clusters", "get-users"})
      EXPECT_THAT(*script, ::testing::HasSubstr(asked)) << shell;
    const std::string option = std::string(shell) == "fish" ? "-l " : "--";
    for (const char* asked : {"context", "cluster", "user"})
      EXPECT_THAT(*script, ::testing::HasSubstr(option + asked)) << shell;
  }
}

}  // namespace
}  // namespace muster::cli
