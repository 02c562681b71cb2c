// cli/progress.cc: the block that a terminal shows of each job, and how it is redrawn in place
#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/format.h"
#include "common/base/text.h"

namespace muster::cli {
namespace {

std::string paint(const std::string& text, const char* code, const Style& style) {
  return style.colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

const char* phase_colour(const JobView& view) {
  if (view.failed) return "1;31";
  if (view.succeeded) return "1;32";
  return view.phase == "Running" ? "1;36" : "1;33";
}

// `left` and `right` at the two ends of a line, or one blank apart where there is no room.
std::string spread(const std::string& left, const std::string& right, const Style& style) {
  const std::size_t used = display_width(left) + display_width(right);
  const std::size_t gap = used + 1 < style.width ? style.width - used : 1;
  return clip(left + std::string(gap, ' ') + right, style.width) + (style.colour ? "\x1b[0m" : "");
}

std::string numbers_line(const JobView& view) {
  std::string out;
  const auto add = [&out](const std::string& part) { out += (out.empty() ? "" : "   ") + part; };
  if (view.loss) add("loss " + format_loss(view.loss));
  if (view.accuracy) add("accuracy " + format_percent(view.accuracy));
  if (view.examples_per_second > 0) {
    add(fmt::format("{} {}/s", format_count(std::llround(view.examples_per_second)),
                    view.images ? "images" : "examples"));
  }
  if (view.federated && view.clients > 0) add(fmt::format("{} clients", view.clients));
  if (view.federated && view.selected > 0) add(fmt::format("{}/{} reported", view.reported, view.selected));
  if (view.bytes_sent > 0 || view.bytes_expected > 0) {
    add(fmt::format("sent {} (formula {})", format_bytes(view.bytes_sent),
                    format_bytes(view.bytes_expected)));
  }
  if (view.restarts > 0) add(fmt::format("restarts {}", view.restarts));
  return out;
}

}  // namespace

std::string render_bar(double fraction, std::size_t width, const Style& style) {
  if (width < 3) return "";
  fraction = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  const std::size_t cells = width - 2;
  if (style.unicode) {
    static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const auto eighths = static_cast<std::size_t>(fraction * static_cast<double>(cells) * 8);
    std::string inside;
    for (std::size_t i = 0; i < eighths / 8; ++i) inside += "█";
    inside += kEighths[eighths % 8];
    const std::size_t used = eighths / 8 + (eighths % 8 > 0 ? 1 : 0);
    for (std::size_t i = used; i < cells; ++i) inside += "·";
    return "▕" + inside + "▏";
  }
  const auto full = static_cast<std::size_t>(fraction * static_cast<double>(cells));
  std::string inside(full, '=');
  if (full < cells && full > 0) inside.back() = '>';
  return "[" + inside + std::string(cells - full, ' ') + "]";
}

std::vector<std::string> render_job(const Tracked& job, Instant now, const Style& style) {
  const JobView& view = job.view;
  std::vector<std::string> lines;
  std::string times = format_duration(job.elapsed(now));
  if (const auto left = job.remaining(now)) times += ", " + format_duration(*left) + " left";
  const std::string pods = view.ready.empty() || view.finished() ? "" : "  " + view.ready + " pods ready";
  lines.push_back(spread(fmt::format("{}  {}{}", paint(view.title(), "1", style),
                                     paint(view.phase, phase_colour(view), style), pods),
                         times, style));
  if (view.total > 0) {
    const double fraction = static_cast<double>(view.at) / static_cast<double>(view.total);
    const std::string count =
        fmt::format("{:>3.0f}%  {} {}/{}", std::floor(100 * std::clamp(fraction, 0.0, 1.0)), view.unit(),
                    format_count(view.at), format_count(view.total));
    const std::size_t room = style.width > count.size() + 4 ? style.width - count.size() - 4 : 0;
    const std::string bar = render_bar(fraction, std::min<std::size_t>(room, 60), style);
    lines.push_back(clip("  " + paint(bar, phase_colour(view), style) + " " + count, style.width));
  } else if (view.at > 0) {  // of a federation without end
    lines.push_back(fmt::format("  {} {}", view.unit(), format_count(view.at)));
  }
  if (const std::string numbers = numbers_line(view); !numbers.empty()) {
    lines.push_back(clip("  " + numbers, style.width));
  }
  if (!view.succeeded && !view.message.empty()) {
    lines.push_back(
        clip(fmt::format("  {}: {}", printable(view.reason), printable(view.message)), style.width));
  }
  return lines;
}

std::vector<std::string> stack(const std::vector<std::vector<std::string>>& jobs, const Style& style) {
  std::size_t lines = 0;
  for (const auto& job : jobs) lines += job.size();
  // Escape sequences cannot reach a line that has scrolled away: it would be printed again and again. The
  // cursor has a row of its own, and so has what stands for the jobs without room.
  const bool all = lines < style.height;
  const std::size_t room = std::max<std::size_t>(style.height, 2) - 2;
  std::vector<std::string> out;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!all && out.size() + jobs[i].size() > room) {
      out.push_back(fmt::format("  ... and {} more, for which this terminal has no room", jobs.size() - i));
      break;
    }
    out.insert(out.end(), jobs[i].begin(), jobs[i].end());
  }
  return out;
}

std::string LiveBlock::update(const std::vector<std::string>& above, const std::vector<std::string>& block) {
  std::string out;
  if (height_ > 0) out += fmt::format("\x1b[{}A\r", height_);
  out += "\x1b[J";
  for (const std::string& line : above) out += line + "\n";
  for (const std::string& line : block) out += line + "\n";
  height_ = block.size();
  return out;
}

}  // namespace muster::cli
