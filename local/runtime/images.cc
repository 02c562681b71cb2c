// local/runtime/images.cc: Muster's images are its binaries, all others need a command
#include "local/runtime/images.h"

#include <fmt/format.h>

#include <array>

#include "local/runtime/json_access.h"

namespace muster::local {

std::string muster_program(std::string_view image) {
  if (const std::size_t digest = image.find('@'); digest != std::string_view::npos)
    image = image.substr(0, digest);
  if (const std::size_t slash = image.rfind('/'); slash != std::string_view::npos)
    image = image.substr(slash + 1);
  if (const std::size_t tag = image.find(':'); tag != std::string_view::npos) image = image.substr(0, tag);
  constexpr std::array<std::string_view, 5> kPrograms{"muster-operator", "muster-worker", "muster-aggregator",
                                                      "muster-device", "muster-exec"};
  for (const std::string_view program : kPrograms) {
    if (image == program) return std::string(program);
  }
  return "";
}

bool image_present(const Json& container) {
  return text(member(container, "imagePullPolicy")) != "Never" ||
         !muster_program(text(member(container, "image"))).empty();
}

Result<std::vector<std::string>> container_command(const Json& container,
                                                   const std::filesystem::path& binaries) {
  const std::string name = text(member(container, "name"));
  const std::string image = text(member(container, "image"));
  std::vector<std::string> out;
  for (const Json& word : member(container, "command")) out.push_back(text(word));
  if (out.empty()) {
    const std::string program = muster_program(image);
    if (!program.empty()) {
      const std::filesystem::path binary = binaries / program;
      std::error_code error;
      if (!std::filesystem::exists(binary, error)) {
        return not_found(
            fmt::format("container \"{}\": binary {} of image {} not found; build it with `./dev build`",
                        name, binary.string(), image));
      }
      out.push_back(binary.string());
    }
  }
  // `kubectl run NAME --image=IMAGE -- WORD...` sets args: with an image that has no program here, they are
  // the command.
  for (const Json& word : member(container, "args")) out.push_back(text(word));
  if (out.empty()) {
    return not_found(
        fmt::format("container \"{}\": image {} has no program on this machine: without a cluster, images "
                    "are not unpacked; give the container a command that is installed here",
                    name, image));
  }
  return out;
}

}  // namespace muster::local
