#pragma once  // learning/atomic_file.h: a file appears whole or not at all, also across a crash
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster::learning {

inline constexpr std::string_view kTemporarySuffix =
    ".tmp";  // of files not yet renamed; left behind only by a crash

// Removes a temporary that no living writer holds.
void remove_stale_temporary(const std::filesystem::path& temporary) noexcept;

// An Error for `errno_value` met while doing `action` ("write") to `path`; disk full names the bytes needed
// and free.
[[nodiscard]] Error file_error(std::string_view action, const std::filesystem::path& path, int errno_value,
                               std::size_t bytes_needed = 0);

// Writes the concatenated parts: <path>.<random>.tmp, fsync, rename, fsync of the folder. On an error the old
// file, if any, is whole and no temporary is left. Of two writers of one path at once (two processes that are
// both rank 0 for a moment), the last one's file stays, whole.
[[nodiscard]] Status write_atomically(const std::filesystem::path& path,
                                      std::span<const std::span<const std::byte>> parts);

}  // namespace muster::learning
