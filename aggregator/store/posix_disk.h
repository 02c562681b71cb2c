#pragma once  // aggregator/store/posix_disk.h: the journal's folder on a real disk
#include <chrono>
#include <filesystem>
#include <memory>

#include "aggregator/store/disk.h"

namespace muster::agg {

// Of `folder`, which is created when missing, and held as long as the disk lives: two aggregators that write
// one journal would overwrite each other's files. Errors: kUnavailable: another process holds it, still after
// `lock_wait`. Others as files have them.
[[nodiscard]] Result<std::unique_ptr<Disk>> open_posix_disk(
    std::filesystem::path folder, std::chrono::milliseconds lock_wait = std::chrono::seconds(10));

}  // namespace muster::agg
