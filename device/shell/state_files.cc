// device/shell/state_files.cc: one file for each proposal, written whole or not at all
#include "device/shell/state_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "common/platform/log.h"
#include "learning/atomic_file.h"
#include "learning/safetensors.h"

namespace muster::device {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTensor = "control";
constexpr std::size_t kUidBytesMax = 128;

std::string name_of(std::int64_t round) { return fmt::format("round-{:08d}.safetensors", round); }

}  // namespace

Result<std::unique_ptr<StateFiles>> StateFiles::open(const fs::path& folder, const std::string& uid,
                                                     std::size_t parameters) {
  const bool sound = !uid.empty() && uid.size() <= kUidBytesMax && uid[0] != '.' &&
                     std::all_of(uid.begin(), uid.end(), [](unsigned char letter) {
                       return std::isalnum(letter) != 0 || letter == '-' || letter == '.';
                     });
  if (!sound)
    return invalid_argument(
        "the uid of the object names no folder; bring muster-operator and the pods to one version");
  return std::unique_ptr<StateFiles>(new StateFiles(folder / uid, parameters));
}

fs::path StateFiles::folder_of(std::int32_t client) const {
  return folder_ / fmt::format("client-{}", client);
}

Result<ClientStates::Settled> StateFiles::settle(std::int32_t client, std::int64_t counted) {
  const fs::path folder = folder_of(client);
  Settled settled{.values = {}, .lost = counted > 0};
  if (counted > 0) {
    auto file = learning::read_safetensors(folder / name_of(counted));
    if (file && file->tensors.size() == 1 && file->tensors[0].values.size() == parameters_) {
      settled = {.values = std::move(file->tensors[0].values)};
    } else if (!file && file.error().code != Code::kNotFound && file.error().code != Code::kDataLoss) {
      return file.error();  // it may be readable the next time
    } else {
      spdlog::warn("what client {} kept of round {} is gone: {}", client, counted,
                   file ? "it is of another model" : file.error().message);
    }
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code ignored;  // a file too many does no harm
    if (entry.path().filename() != name_of(counted) || settled.lost) fs::remove(entry.path(), ignored);
  }
  return settled;
}

Status StateFiles::propose(std::int32_t client, std::int64_t round, std::vector<float> values) {
  const fs::path folder = folder_of(client);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return learning::file_error("create the folder", folder, error.value());
  const learning::NamedTensor tensor{kTensor, {std::ssize(values)}, values};
  return learning::write_safetensors(folder / name_of(round), std::span(&tensor, 1),
                                     {{"client", std::to_string(client)}});
}

void StateFiles::forget(std::int32_t first_client, std::int32_t clients) {
  std::error_code ignored;
  for (std::int32_t client = first_client; client < first_client + clients; ++client)
    fs::remove_all(folder_of(client), ignored);
  fs::remove(folder_, ignored);  // by the last pod: it must be empty
}

}  // namespace muster::device
