#pragma once  // local/runtime/images.h: what an image of a manifest means without a cluster
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// The program of Muster that `image` stands for, whatever its registry and tag: "muster-worker", ...; else
// "".
[[nodiscard]] std::string muster_program(std::string_view image);

// What a container runs: its command and args, or the program of its image and args; references and paths
// still as in the manifest. kNotFound: there is nothing to run (names container, image and remedy).
[[nodiscard]] Result<std::vector<std::string>> container_command(const Json& container,
                                                                 const std::filesystem::path& binaries);

// False for an image that is not Muster's under imagePullPolicy Never: no other image is on this machine.
[[nodiscard]] bool image_present(const Json& container);

}  // namespace muster::local
