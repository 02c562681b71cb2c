#pragma once  // common/platform/in_the_way.h: why a folder cannot be at a path
#include <filesystem>
#include <string>

namespace muster {

// What is there instead of a folder, at `path` or at one of its parents: "out/c is a file", "out/c is a link
// to /gone, which does not exist". Empty: nothing that has a name of its own.
[[nodiscard]] std::string in_the_way(const std::filesystem::path& path);

}  // namespace muster
