#pragma once  // cli/local_state.h: which `muster local up` of this user runs: a locked file, so a dead one
              // never counts
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "common/base/result.h"

namespace muster::cli {

struct LocalState {
  int pid = 0;
  std::string url;
  std::string kubeconfig;
};

// $XDG_RUNTIME_DIR/muster/local.json, else ~/.muster/local.json.
[[nodiscard]] Result<std::filesystem::path> local_state_path();

// The running one; nothing when there is none, whatever file a dead one left.
[[nodiscard]] std::optional<LocalState> find_local_up();

// Held by a running `muster local up`; the kernel drops it with the process, however it ends.
class LocalClaim {
 public:
  // Errors: kAlreadyExists: another one runs; the message holds its address.
  [[nodiscard]] static Result<LocalClaim> take();
  [[nodiscard]] Status publish(const LocalState& state);
  ~LocalClaim();  // removes the file and lets go
  LocalClaim(LocalClaim&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  LocalClaim& operator=(LocalClaim&&) = delete;
  LocalClaim(const LocalClaim&) = delete;

 private:
  LocalClaim(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_;
};

}  // namespace muster::cli
