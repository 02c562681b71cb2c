// common/platform/log.cc: the process's log on stderr
#include "common/platform/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <string>

namespace muster {

void init_log(std::string_view component, std::string_view default_level) {
  auto logger = spdlog::stderr_logger_mt(std::string(component));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n: %v", spdlog::pattern_time_type::utc);
  const char* level = std::getenv("MUSTER_LOG");
  logger->set_level(spdlog::level::from_str(level == nullptr ? std::string(default_level) : level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace muster
