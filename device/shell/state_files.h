#pragma once  // device/shell/state_files.h: what clients keep between rounds, as files
#include <filesystem>
#include <memory>
#include <string>

#include "device/client_states.h"

namespace muster::device {

// <folder>/<uid of the object>/client-<c>/round-<r>.safetensors. Pods may share the folder, as no two of them
// play one client. A file that is damaged, or of another model, is as good as none.
class StateFiles final : public ClientStates {
 public:
  // Errors: kInvalidArgument: the uid cannot name a folder.
  [[nodiscard]] static Result<std::unique_ptr<StateFiles>> open(const std::filesystem::path& folder,
                                                                const std::string& uid,
                                                                std::size_t parameters);
  Result<Settled> settle(std::int32_t client, std::int64_t counted) override;
  Status propose(std::int32_t client, std::int64_t round, std::vector<float> values) override;
  void forget(std::int32_t first_client, std::int32_t clients) override;

 private:
  StateFiles(std::filesystem::path folder, std::size_t parameters)
      : folder_(std::move(folder)), parameters_(parameters) {}
  [[nodiscard]] std::filesystem::path folder_of(std::int32_t client) const;

  std::filesystem::path folder_;
  std::size_t parameters_;
};

}  // namespace muster::device
