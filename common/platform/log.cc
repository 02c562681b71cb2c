// common/platform/log.cc: the process's log on stderr
#include "common/platform/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <string>

namespace muster {
namespace {

// Nothing: no level has that name (spdlog would take it for "off").
std::optional<spdlog::level::level_enum> level_of(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto level = spdlog::level::from_str(name);
  return level == spdlog::level::off && name != "off" ? std::nullopt : std::optional(level);
}

}  // namespace

void init_log(std::string_view component, std::string_view default_level) {
  auto logger = spdlog::stderr_logger_mt(std::string(component));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n: %v", spdlog::pattern_time_type::utc);
  const char* value = std::getenv("MUSTER_LOG");
  const std::string wanted = value == nullptr ? "" : value;
  const auto level = level_of(wanted);
  logger->set_level(level ? *level : *level_of(std::string(default_level)));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  if (!level && !wanted.empty())
    spdlog::warn("MUSTER_LOG is \"{}\": use debug, info, warning, error or off; logging from level {}",
                 wanted, default_level);
}

}  // namespace muster
