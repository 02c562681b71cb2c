#pragma once  // aggregator/store/posix_disk.h: the journal's folder on a real disk
#include <filesystem>
#include <memory>

#include "aggregator/store/disk.h"

namespace muster::agg {

// Of `folder`, which is created when missing.
[[nodiscard]] Result<std::unique_ptr<Disk>> open_posix_disk(std::filesystem::path folder);

}  // namespace muster::agg
