#pragma once  // cli/progress.h: the block that a terminal shows of each job, and how it is redrawn in place.
              // Pure
#include <string>
#include <vector>

#include "cli/monitor.h"

namespace muster::cli {

struct Style {
  std::size_t width = 80;
  bool colour = false;
  bool unicode = false;
  std::size_t height = 24;  // rows of the terminal
};

// "[=====>    ]" or its Unicode form, `width` columns in all; fraction is clamped to 0..1.
[[nodiscard]] std::string render_bar(double fraction, std::size_t width, const Style& style);

// The lines of one job, none wider than style.width.
[[nodiscard]] std::vector<std::string> render_job(const Tracked& job, Instant now, const Style& style);

// The jobs' lines, one under the other: as many whole jobs as the terminal has rows for, and how many it has
// not.
[[nodiscard]] std::vector<std::string> stack(const std::vector<std::vector<std::string>>& jobs,
                                             const Style& style);

// Redraws a block of lines in place by escape sequences; other lines scroll by above it. Returns what to
// write.
class LiveBlock {
 public:
  // `above`: lines to print for good before the block.
  [[nodiscard]] std::string update(const std::vector<std::string>& above,
                                   const std::vector<std::string>& block);

 private:
  std::size_t height_ = 0;
};

}  // namespace muster::cli
