// cli/console.cc: the streams of this process: is it a terminal, how wide, in colour
#include "cli/console.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

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
  Style style{.width = 100, .colour = colour_, .unicode = unicode_};
  winsize size{};
  if (terminal_ && ::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = std::clamp<std::size_t>(size.ws_col, 20, 200) - 1;  // a full last column would wrap
    if (size.ws_row > 0) style.height = size.ws_row;
  }
  return style;
}

void Console::write(std::string_view text) {
  while (!text.empty() && !broken()) {
    const ssize_t count = ::write(fd_, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {  // somebody made the other end non-blocking
      pollfd ready{fd_, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      failure_ = errno;
    }
  }
}

Status Console::written() const {
  const int failure = failure_;
  if (failure == 0 || failure == EPIPE) return {};
  return unavailable(fmt::format("cannot write to standard {}: {}; what it shows is not whole",
                                 fd_ == STDOUT_FILENO ? "output" : "error", std::strerror(failure)));
}

int finish(const Console& out) {
  const Status written = out.written();
  if (written) return kExitDone;
  print_error(written.error().message);
  return kExitEnvironment;
}

void print_error(std::string_view message) {
  // It may quote what others wrote.
  Console(Console::Stream::kError).write(fmt::format("muster: {}\n", printable_lines(message, "\n")));
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
