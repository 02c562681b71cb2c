#pragma once  // cli/console.h: the streams of this process: is it a terminal, how wide, in colour
#include <atomic>
#include <string>
#include <string_view>

#include "cli/progress.h"
#include "common/base/result.h"

namespace muster::cli {

class Console {  // thread-safe; pieces of several threads may mingle
 public:
  enum class Stream { kOut, kError };
  explicit Console(Stream stream);

  [[nodiscard]] bool terminal() const { return terminal_; }  // and one that understands escape sequences
  [[nodiscard]] Style style() const;                         // as of now: a window can be resized
  // After a failure (a closed pipe, a full disk) later writes do nothing.
  void write(std::string_view text);
  [[nodiscard]] bool broken() const { return failure_ != 0; }
  // Why what was written has not all arrived. A reader that left is no failure.
  [[nodiscard]] Status written() const;

 private:
  int fd_;
  bool terminal_;
  bool colour_;
  bool unicode_;
  std::atomic<int> failure_{0};  // an errno
};

// What a verb that has done its work exits with: 3, with a message, where its output did not arrive.
[[nodiscard]] int finish(const Console& out);
// "muster: MESSAGE" on standard error.
void print_error(std::string_view message);
// The exit code that an error of starting or asking means (exit_code.h).
[[nodiscard]] int exit_code_of(const Error& error);

}  // namespace muster::cli
