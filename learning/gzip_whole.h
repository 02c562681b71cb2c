#pragma once  // learning/gzip_whole.h: a whole gzip file at once, in less than half of zlib's time
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace muster::learning {

// The content of a gzip file of one member and at most `bytes_max` bytes, its checksum verified; nothing for
// any other file: PackedFile, which reads piece by piece, then tells what it is.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> read_gzip_whole(const std::filesystem::path& path,
                                                                       std::uint64_t bytes_max);

}  // namespace muster::learning
