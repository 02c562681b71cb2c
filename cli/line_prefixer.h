#pragma once  // cli/line_prefixer.h: a stream of bytes as whole lines, each behind a prefix. Pure
#include <string>
#include <string_view>
#include <utility>

namespace muster::cli {

class LinePrefixer {
 public:
  explicit LinePrefixer(std::string prefix) : prefix_(std::move(prefix)) {}

  // The lines that `bytes` completes, prefixed. A line past 64 KiB is broken there.
  [[nodiscard]] std::string feed(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
      if (c != '\n') pending_ += c;
      if (c == '\n' || pending_.size() >= kLineBytesMax) out += prefix_ + std::exchange(pending_, {}) + "\n";
    }
    return out;
  }
  // A last line without its newline.
  [[nodiscard]] std::string finish() {
    return pending_.empty() ? std::string() : prefix_ + std::exchange(pending_, {}) + "\n";
  }

 private:
  static constexpr std::size_t kLineBytesMax = 65536;
  std::string prefix_;
  std::string pending_;
};

}  // namespace muster::cli
