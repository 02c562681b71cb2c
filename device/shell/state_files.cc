// device/shell/state_files.cc: one file for each proposal, written whole or not at all
#include "device/shell/state_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <optional>
#include <thread>
#include <utility>

#include "common/platform/log.h"
#include "common/platform/permitted_path.h"
#include "learning/atomic_file.h"
#include "learning/safetensors.h"

namespace muster::device {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTensor = "control";
constexpr std::size_t kUidBytesMax = 128;

constexpr std::string_view kBefore = "round-";
constexpr std::string_view kBehind = ".safetensors";
constexpr std::chrono::milliseconds kLockPoll{20};

std::string name_of(std::int64_t round) { return fmt::format("{}{:08d}{}", kBefore, round, kBehind); }

// Nothing: it is not a proposal.
std::optional<std::int64_t> round_of(const std::string& name) {
  if (!name.starts_with(kBefore) || !name.ends_with(kBehind)) return std::nullopt;
  const char* const end = name.data() + name.size() - kBehind.size();
  std::int64_t round = 0;
  const auto read = std::from_chars(name.data() + kBefore.size(), end, round);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return round;
}

}  // namespace

Result<std::unique_ptr<StateFiles>> StateFiles::open(const fs::path& folder, const std::string& uid,
                                                     std::size_t parameters,
                                                     std::chrono::milliseconds lock_wait) {
  const bool sound = !uid.empty() && uid.size() <= kUidBytesMax && uid[0] != '.' &&
                     std::all_of(uid.begin(), uid.end(), [](unsigned char letter) {
                       return std::isalnum(letter) != 0 || letter == '-' || letter == '.';
                     });
  if (!sound)
    return invalid_argument(
        "the uid of the object names no folder; bring muster-operator and the pods to one version");
  MUSTER_ASSIGN(fs::path own, permitted_storage_folder(folder, folder / uid));
  return std::unique_ptr<StateFiles>(new StateFiles(std::move(own), parameters, lock_wait));
}

fs::path StateFiles::folder_of(std::int32_t client) const {
  return folder_ / fmt::format("client-{}", client);
}

Status StateFiles::hold(std::int32_t client) {
  {
    const MutexLock lock(mutex_);
    if (held_.contains(client)) return {};
  }
  const fs::path folder = folder_of(client);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return learning::file_error("create the folder", folder, error.value());
  FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return learning::file_error("open the folder", folder, errno);
  const auto until = std::chrono::steady_clock::now() + lock_wait_;
  // A file system without locks is no reason to keep nothing.
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    if (std::chrono::steady_clock::now() >= until)
      return unavailable(fmt::format(
          "{} is held by another process that plays client {}; see why the client's former pod has not ended",
          folder.string(), client));
    std::this_thread::sleep_for(kLockPoll);
  }
  const MutexLock lock(mutex_);
  held_.emplace(client, std::move(fd));
  return {};
}

Result<ClientStates::Settled> StateFiles::settle(std::int32_t client, std::int64_t counted,
                                                 std::int64_t round) {
  MUSTER_TRY(hold(client));
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
    const auto label = round_of(entry.path().filename().string());
    const bool counts = label == counted && counted > 0 && !settled.lost;
    if (!counts && label.value_or(0) <= round) fs::remove(entry.path(), ignored);
  }
  return settled;
}

Status StateFiles::propose(std::int32_t client, std::int64_t round, std::vector<float> values) {
  MUSTER_TRY(hold(client));
  const fs::path folder = folder_of(client);
  const learning::NamedTensor tensor{kTensor, {std::ssize(values)}, values};
  return learning::write_safetensors(folder / name_of(round), std::span(&tensor, 1),
                                     {{"client", std::to_string(client)}});
}

void StateFiles::forget(std::int32_t first_client, std::int32_t clients) {
  std::error_code ignored;
  const MutexLock lock(mutex_);
  for (std::int32_t client = first_client; client < first_client + clients; ++client) {
    fs::remove_all(folder_of(client), ignored);
    held_.erase(client);
  }
  fs::remove(folder_, ignored);  // by the last pod: it must be empty
}

}  // namespace muster::device
