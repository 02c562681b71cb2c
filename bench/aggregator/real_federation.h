#pragma once  // bench/aggregator/real_federation.h: the real muster-aggregator as a process, and clients that
              // train nothing
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/spec/federation.h"
#include "tests/device/federation_calls.h"
#include "tests/device/process.h"
#include "tests/support/temporary_folder.h"

namespace muster {

// One aggregator whose storage is a temporary folder (of TMPDIR), and stubs of client pods of 25 clients
// each. What cannot be started ends the program: there is nothing to measure.
class RealFederation {
 public:
  explicit RealFederation(spec::Federation federation);
  ~RealFederation();
  RealFederation(const RealFederation&) = delete;
  RealFederation& operator=(const RealFederation&) = delete;

  [[nodiscard]] const spec::Federation& federation() const { return federation_; }
  [[nodiscard]] pid_t pid() const { return aggregator_->pid(); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }
  [[nodiscard]] FederationStub& stub_of(std::int32_t client) const {
    return *stubs_[static_cast<std::size_t>(client / federation_.clients_per_pod)];
  }
  // Checks the client in, and again while its connection is lost, for some seconds; false: it has no answer.
  [[nodiscard]] bool check_in(std::int32_t client, CheckInReply& reply) const;
  // Checks all clients in at once; their tasks, by client. Empty once the federation is over.
  [[nodiscard]] std::vector<Task> begin_round() const;

 private:
  spec::Federation federation_;
  TemporaryFolder folder_;
  std::unique_ptr<testing_process::Pod> aggregator_;
  std::vector<std::unique_ptr<FederationStub>> stubs_;  // of each pod
};

// A model of about so many bytes of float32, and data so small that evaluations cost nothing beside.
[[nodiscard]] spec::Federation federation_of(std::int64_t clients, std::int64_t model_bytes,
                                             std::int64_t rounds);

// Runs body(client) for each on a thread of its own; ends when all have.
void side_by_side(std::int32_t clients, const std::function<void(std::int32_t client)>& body);

[[nodiscard]] double median(std::vector<double> values);
[[nodiscard]] inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace muster
