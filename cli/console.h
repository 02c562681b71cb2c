#pragma once  // cli/console.h: the streams of this process: is it a terminal, how wide, in colour
#include <string>
#include <string_view>

#include "cli/progress.h"
#include "common/base/result.h"

namespace muster::cli {

class Console {  // thread-safe writes, whole pieces
 public:
  enum class Stream { kOut, kError };
  explicit Console(Stream stream);

  [[nodiscard]] bool terminal() const { return terminal_; }  // and one that understands escape sequences
  [[nodiscard]] Style style() const;                         // as of now: a window can be resized
  // Never blocks for good on a closed pipe: then later writes do nothing.
  void write(std::string_view text);
  [[nodiscard]] bool broken() const { return broken_; }  // nobody reads any more

 private:
  int fd_;
  bool terminal_;
  bool colour_;
  bool unicode_;
  bool broken_ = false;
};

// "muster: MESSAGE" on standard error.
void print_error(std::string_view message);
// The exit code that an error of starting or asking means (exit_code.h).
[[nodiscard]] int exit_code_of(const Error& error);

}  // namespace muster::cli
