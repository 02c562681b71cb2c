// cli/collect.cc: the files of a finished run: model, history and plot of each job
#include "cli/collect.h"

#include <fmt/format.h>

#include "cli/files.h"
#include "cli/plot.h"
#include "cli/storage.h"

namespace muster::cli {
namespace {

constexpr std::size_t kHistoryBytesMax = 16U << 20U;

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

void collect_model(Outcome& outcome, const ModelFolder& source, const std::filesystem::path& folder) {
  if (!outcome.view.succeeded) {
    outcome.no_model = "the job did not succeed";
    return;
  }
  if (source.path.empty()) {
    outcome.no_model = source.why;
    return;
  }
  const auto target = folder / kModelFile;
  const Status copied = cli::copy_file(source.path / kModelFile, target);
  if (copied) {
    outcome.model_file = target.string();
  } else {
    outcome.no_model = copied.error().message;
    outcome.lost_files.push_back(copied.error().message);
  }
}

// The file's path, or nothing where it could not be written.
std::string keep(Outcome& outcome, const std::filesystem::path& file, std::string_view content) {
  const Status written = write_file(file, content);
  if (written) return file.string();
  outcome.lost_files.push_back(written.error().message);
  return "";
}

}  // namespace

std::string output_folder(const JobView& view, std::set<std::string>& taken) {
  for (const std::string& name : {view.name, lower(view.kind) + "-" + view.name,
                                  view.name_space + "-" + lower(view.kind) + "-" + view.name}) {
    if (name != kVolumesFolder && taken.insert(name).second) return name;
  }
  return view.uid;
}

void collect_files(Outcome& outcome, const Json& object, const std::filesystem::path& volumes,
                   const std::filesystem::path& folder) {
  const ModelFolder source = find_model_folder(object, volumes);
  collect_model(outcome, source, folder);
  std::vector<CurvePoint> points = outcome.view.history;
  if (!outcome.model_file.empty()) {
    // The file has every point; the status at most 200 of them.
    const auto text = read_file((source.path / kHistoryFile).string(), kHistoryBytesMax);
    auto read = text ? curve_from_csv(*text, kHistoryFile) : Result<std::vector<CurvePoint>>(text.error());
    if (read && read->size() >= points.size()) points = std::move(*read);
  }
  if (points.empty()) return;
  outcome.history_file = keep(outcome, folder / kHistoryFile, curve_to_csv(points, outcome.view.unit()));
  const Curve curve{outcome.view.title(), outcome.view.description, outcome.view.unit(), std::move(points)};
  outcome.plot_file = keep(outcome, folder / kPlotFile, draw_curve(curve));
}

}  // namespace muster::cli
