#pragma once  // cli/plot_verb.h: `muster plot SOURCE -o FILE.svg`: the curve of a history.csv or of a job
#include <string>

#include "cli/get.h"

namespace muster::cli {

struct PlotOptions {
  QueryOptions query;
  std::string source;        // "history.csv" or "dj/ring"
  std::string output = "-";  // "-": standard output
  std::string title;         // empty: from the source
};

[[nodiscard]] int plot(const PlotOptions& options);

}  // namespace muster::cli
