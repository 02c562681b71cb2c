// common/platform/log.cc: the process's log on stderr
#include "common/platform/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "common/base/text.h"

namespace muster {
namespace {

// Nothing: no level has that name (spdlog would take it for "off").
std::optional<spdlog::level::level_enum> level_of(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto level = spdlog::level::from_str(name);
  return level == spdlog::level::off && name != "off" ? std::nullopt : std::optional(level);
}

// An entry is one line, whoever supplied its words.
class OneLine final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& line) override {
    std::string_view rest(message.payload.data(), message.payload.size());
    for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1))
      append(rest.substr(0, end), "\\n", line);
    append(rest, "", line);
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<OneLine>();
  }

 private:
  static void append(std::string_view text, std::string_view end, spdlog::memory_buf_t& line) {
    const std::string shown = printable(text);
    line.append(shown.data(), shown.data() + shown.size());
    line.append(end.data(), end.data() + end.size());
  }
};

}  // namespace

void init_log(std::string_view component, std::string_view default_level) {
  auto logger = spdlog::stderr_logger_mt(std::string(component));
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<OneLine>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n: %*");
  logger->set_formatter(std::move(formatter));
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
