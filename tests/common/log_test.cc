// tests/common/log_test.cc: MUSTER_LOG never silences a program by mistake
#include "common/platform/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace muster {
namespace {

spdlog::level::level_enum level_with(const char* value) {
  setenv("MUSTER_LOG", value, 1);
  init_log(std::string("test ") + value, "warning");
  unsetenv("MUSTER_LOG");
  return spdlog::get_level();
}

TEST(Log, TakesItsLevelInAnyCase) {
  EXPECT_EQ(level_with("debug"), spdlog::level::debug);
  EXPECT_EQ(level_with("INFO"), spdlog::level::info);
  EXPECT_EQ(level_with("off"), spdlog::level::off);
}

TEST(Log, KeepsTheDefaultWhenTheLevelIsEmptyOrUnknownAndSaysSo) {
  EXPECT_EQ(level_with(""), spdlog::level::warn);
  testing::internal::CaptureStderr();
  EXPECT_EQ(level_with("verbose"), spdlog::level::warn);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("MUSTER_LOG is \"verbose\": use debug, info"), std::string::npos) << said;
}

TEST(Log, AnEntryIsOneLineWhoeverSuppliedItsWords) {
  testing::internal::CaptureStderr();
  level_with("info");
  spdlog::info("refused: {}", "boom\n2030-01-01T00:00:00.000Z info test: all is well\x1b[2J");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.find('\n'), said.size() - 1) << said;
  EXPECT_NE(said.find("boom\\n2030"), std::string::npos) << said;
  EXPECT_EQ(said.find('\x1b'), std::string::npos) << said;
}

}  // namespace
}  // namespace muster
