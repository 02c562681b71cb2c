#pragma once  // tests/worker/worker_pod.h: muster-worker processes as pods, driven as the operator drives
              // them
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"
#include "proto/control.grpc.pb.h"

namespace muster::worker::test {

inline constexpr const char* kJobUid = "0b7c9a1e-test";  // of every job here

struct Exit {
  int code = -1;  // exit code; 128 + signal when killed; -1: it did not end in time and was killed
  Instant at{};
  std::string last_words;
  std::filesystem::file_time_type words_at{};  // when they were written
};

// One process of bin/muster-worker on its own loopback address. Killed when destroyed.
class WorkerPod {
 public:
  WorkerPod(std::string ip, const std::filesystem::path& folder,
            std::map<std::string, std::string> environment = {}, std::vector<std::string> arguments = {},
            int index = 0);
  ~WorkerPod();
  WorkerPod(const WorkerPod&) = delete;
  WorkerPod& operator=(const WorkerPod&) = delete;

  [[nodiscard]] const std::string& ip() const { return ip_; }
  // Waits for the Agent to answer, then configures.
  [[nodiscard]] grpc::Status configure(const control::v1::Assignment& assignment);
  // Reads statuses until `enough` says so, or the stream ends; the last one read.
  control::v1::AgentStatus watch(const std::function<bool(const control::v1::AgentStatus&)>& enough);
  void signal(int number) const;
  [[nodiscard]] std::int64_t peak_kib() const;  // of its memory
  [[nodiscard]] std::string metrics() const;    // the text of /metrics
  Exit wait(std::chrono::milliseconds limit = std::chrono::seconds(60));

 private:
  std::string ip_;
  std::filesystem::path termination_log_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  std::unique_ptr<control::v1::Agent::Stub> stub_;
};

// A job of several pods on addresses that no other test uses.
class WorkerJob {
 public:
  explicit WorkerJob(int workers, std::map<std::string, std::string> environment = {},
                     std::vector<std::string> arguments = {});
  ~WorkerJob();

  bool encrypt = false;         // spec.security.encryptTraffic
  std::int64_t membership = 1;  // of the assignments
  int peer_timeout_seconds = 1;
  std::string topology = "Ring";
  std::string updates = "Synchronous";
  int servers = 0;  // the last so many pods
  int local_steps = 1;
  Json compression = Json::object();
  [[nodiscard]] int size() const { return static_cast<int>(pods_.size()); }
  WorkerPod& pod(int rank) { return *pods_[static_cast<std::size_t>(rank)]; }
  // A pod that waits, ready to take the place of `rank` in a membership of its own; then the one that had it.
  std::unique_ptr<WorkerPod> spare(int rank);
  std::unique_ptr<WorkerPod> replace(int rank, std::unique_ptr<WorkerPod> spare);
  std::unique_ptr<WorkerPod> remove(int rank);  // likewise, without another: the ranks above it move up
  void add(std::unique_ptr<WorkerPod> spare);   // as the last rank
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] control::v1::Assignment assignment(int rank, const Json& training,
                                                   int timeout_seconds = 30) const;
  void configure(const Json& training, int timeout_seconds = 30);
  // Configures and runs to the end; the final status of each rank. It watches before it configures, as the
  // operator does: a job of milliseconds may be over before a later watch begins.
  std::vector<control::v1::AgentStatus> run(const Json& training);

 private:
  std::unique_ptr<WorkerPod> make_pod(int index);

  std::filesystem::path folder_;
  std::string prefix_;  // of its addresses
  std::map<std::string, std::string> environment_;
  std::vector<std::string> arguments_;
  std::vector<std::unique_ptr<WorkerPod>> pods_;
  int pods_made_ = 0;
};

[[nodiscard]] std::filesystem::path fresh_folder();
// A small softmax regression on synthetic data.
[[nodiscard]] Json small_training(std::int64_t batch_size, std::int64_t epochs);

}  // namespace muster::worker::test
