#pragma once  // learning/readers.h: one function for each kind of dataset; load_dataset chooses
#include <filesystem>
#include <optional>

#include "learning/dataset.h"

namespace muster::learning {

// {train,t10k}-{images-idx3,labels-idx1}-ubyte, or with a dot before idx, plain or with ".gz" or ".zst".
// Without `class_count`, the largest label of both parts tells it.
[[nodiscard]] Result<Dataset> read_idx_folder(const std::filesystem::path& folder,
                                              std::optional<std::int64_t> class_count);

// A header line, then rows of numbers with a label (docs/data.md); rows are shuffled by `seed`, the last ones
// are the test set.
[[nodiscard]] Result<Dataset> read_csv(const std::filesystem::path& path, const spec::Csv& spec,
                                       std::uint64_t seed);

// More classes than this, where the data has `different` labels, come of an outlier: labels may count from 1,
// and some classes may be missing from a file.
[[nodiscard]] constexpr std::int64_t plausible_classes(std::int64_t different) { return 2 * different + 10; }

// Synthetic(alpha, beta) of Li et al. 2020 (FedProx), section 5.1, with alpha and beta as standard
// deviations.
[[nodiscard]] Result<Dataset> make_synthetic(const spec::Synthetic& spec, std::uint64_t seed);

}  // namespace muster::learning
