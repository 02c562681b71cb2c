#pragma once  // device/shell/state_files.h: what clients keep between rounds, as files
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "common/platform/file_descriptor.h"
#include "common/platform/mutex.h"
#include "device/client_states.h"

namespace muster::device {

// <folder>/<uid of the object>/client-<c>/round-<r>.safetensors. Pods may share the folder, as no two of them
// play one client; where one comes while the other has not ended yet, it waits: a process that has touched
// what a client keeps holds a lock (flock) on its folder until it ends or forgets it. A file that is damaged,
// or of another model, is as good as none.
class StateFiles final : public ClientStates {
 public:
  // `lock_wait`: for another process to let a client's folder go; then kUnavailable. Errors:
  // kInvalidArgument: the uid cannot name a folder, or that is a link out of `folder`.
  [[nodiscard]] static Result<std::unique_ptr<StateFiles>> open(
      const std::filesystem::path& folder, const std::string& uid, std::size_t parameters,
      std::chrono::milliseconds lock_wait = std::chrono::seconds(10));
  Result<Settled> settle(std::int32_t client, std::int64_t counted, std::int64_t round) override;
  Status propose(std::int32_t client, std::int64_t round, std::vector<float> values) override;
  void forget(std::int32_t first_client, std::int32_t clients) override;

 private:
  StateFiles(std::filesystem::path folder, std::size_t parameters, std::chrono::milliseconds lock_wait)
      : folder_(std::move(folder)), parameters_(parameters), lock_wait_(lock_wait) {}
  [[nodiscard]] std::filesystem::path folder_of(std::int32_t client) const;
  [[nodiscard]] Status hold(std::int32_t client);  // makes and locks its folder

  std::filesystem::path folder_;
  std::size_t parameters_;
  std::chrono::milliseconds lock_wait_;
  Mutex mutex_;
  std::map<std::int32_t, FileDescriptor> held_ MUSTER_GUARDED_BY(mutex_);  // by client
};

}  // namespace muster::device
