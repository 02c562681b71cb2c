// cli/console.cc: the streams of this process: is it a terminal, how wide, in colour
#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "cli/exit_code.h"
#include "cli/format.h"

namespace muster::cli {
namespace {

bool variable_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

bool utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!variable_set(name)) continue;
    const std::string_view value = std::getenv(name);
    return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos;
  }
  return false;
}

}  // namespace

Console::Console(Stream stream) : fd_(stream == Stream::kOut ? STDOUT_FILENO : STDERR_FILENO) {
  const char* term = std::getenv("TERM");
  terminal_ = ::isatty(fd_) == 1 && term != nullptr && std::string_view(term) != "dumb";
  colour_ = terminal_ && !variable_set("NO_COLOR");
  unicode_ = utf8_locale();
}

Style Console::style() const {
  Style style{100, colour_, unicode_};
  winsize size{};
  if (terminal_ && ::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = std::clamp<std::size_t>(size.ws_col, 20, 200) - 1;  // a full last column would wrap
  }
  return style;
}

void Console::write(std::string_view text) {
  while (!text.empty() && !broken_) {
    const ssize_t count = ::write(fd_, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      broken_ = true;
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void print_error(std::string_view message) {
  Console(Console::Stream::kError).write(fmt::format("muster: {}\n", message));
}

int exit_code_of(const Error& error) {
  switch (error.code) {
    case Code::kInvalidArgument: return kExitUsage;
    case Code::kCancelled: return kExitInterrupted;
    case Code::kAlreadyExists:
    case Code::kUnavailable:
    case Code::kDeadlineExceeded:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kFailedPrecondition:
    case Code::kResourceExhausted: return kExitEnvironment;
    default: return kExitFailed;
  }
}

}  // namespace muster::cli
