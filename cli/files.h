#pragma once  // cli/files.h: small files, whole: read, written so that no half file is ever seen, copied
#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster::cli {

// "-" is standard input. Errors: kNotFound, kPermissionDenied, kInvalidArgument (a folder, or past
// `bytes_max`).
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// By a temporary file beside it and a rename; makes the folders. Errors name the file and the system's
// reason.
[[nodiscard]] Status write_file(const std::filesystem::path& path, std::string_view content);

// Into what a user named: a file as write_file does; a link, a device or a pipe (`-o /dev/stdout`) stays what
// it is and is written into.
[[nodiscard]] Status write_output(const std::filesystem::path& path, std::string_view content);

// Copies in pieces, likewise atomic.
[[nodiscard]] Status copy_file(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace muster::cli
