#pragma once  // common/platform/log.h: the process's log: one line an event on stderr, `key=value` at its end
#include <spdlog/spdlog.h>

#include <string_view>

namespace muster {

// Call once, first thing in main. `component`: "operator", "worker", ... Level from MUSTER_LOG
// (debug, info, warning, error, off; empty or another word: the default). Then use spdlog::info("...", ...)
// and friends.
void init_log(std::string_view component, std::string_view default_level = "info");

}  // namespace muster
