// cli/plot_verb.cc: `muster plot SOURCE -o FILE.svg`: the curve of a history.csv or of a job
#include "cli/plot_verb.h"

#include <fmt/format.h>

#include <filesystem>

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/files.h"
#include "cli/job_view.h"
#include "cli/plot.h"
#include "cli/resources.h"

namespace muster::cli {
namespace {

constexpr std::size_t kCsvBytesMax = 64U << 20U;

Result<Curve> curve_of_file(const std::string& file) {
  MUSTER_ASSIGN(const std::string text, read_file(file, kCsvBytesMax));
  Curve curve;
  curve.title = file == "-" ? "learning curve" : file;
  curve.x_label = text.starts_with("round") ? "round" : "step";
  MUSTER_ASSIGN(curve.points, curve_from_csv(text, file));
  return curve;
}

Result<Curve> curve_of_job(const PlotOptions& options, const KindAndName& what) {
  MUSTER_ASSIGN(const kube::Resource resource, find_resource(what.kind));
  MUSTER_ASSIGN(const Connection connection, connect(options.query));
  const std::string ns =
      options.query.name_space.empty() ? connection.default_namespace : options.query.name_space;
  const auto object = connection.client->get(resource, ns, what.name);
  if (!object) return explain(object.error(), connection.server);
  JobView view = view_job(*object);
  return Curve{view.title(), view.description, view.unit(), std::move(view.history)};
}

Result<std::string> draw(const PlotOptions& options) {
  const auto what = split_slash(options.source);
  std::error_code unreadable;  // reading it says why
  const bool file =
      options.source == "-" || !what || std::filesystem::exists(options.source, unreadable) || unreadable;
  auto curve = file ? curve_of_file(options.source) : curve_of_job(options, *what);
  if (!curve && file && curve.error().code == Code::kNotFound) {
    return not_found(curve.error().message + ", or name a job as dj/NAME");
  }
  MUSTER_TRY(curve);
  if (!options.title.empty()) curve->title = options.title;
  return draw_curve(*curve);
}

}  // namespace

int plot(const PlotOptions& options) {
  const auto fail = [](const Error& error) {
    print_error(error.message);
    return exit_code_of(error);
  };
  const auto svg = draw(options);
  if (!svg) return fail(svg.error());
  if (options.output == "-") {
    Console out(Console::Stream::kOut);
    out.write(*svg);
    return finish(out);
  }
  const Status written = write_output(options.output, *svg);
  return written ? kExitDone : fail(written.error());
}

}  // namespace muster::cli
