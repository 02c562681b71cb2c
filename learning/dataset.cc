// learning/dataset.cc: which reader serves which dataset name
#include <fmt/format.h>

#include "learning/readers.h"

namespace muster::learning {

Result<Dataset> load_dataset(const spec::Dataset& spec, std::uint64_t seed) {
  if (spec.name == "synthetic") return make_synthetic(spec.synthetic, seed);
  if (spec.path.empty())
    return invalid_argument(fmt::format("dataset {}: has no path; set dataset.path to its files", spec.name));
  if (spec.name == "fashion-mnist") return read_idx_folder(spec.path, 10);
  if (spec.name == "idx") return read_idx_folder(spec.path, std::nullopt);
  if (spec.name == "csv") return read_csv(spec.path, spec.csv, seed);
  return invalid_argument(
      fmt::format("dataset \"{}\" is unknown; use fashion-mnist, idx, csv or synthetic", spec.name));
}

}  // namespace muster::learning
