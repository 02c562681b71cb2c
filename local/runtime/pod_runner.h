#pragma once  // local/runtime/pod_runner.h: one pod of the node: its machine, and the processes and files it
              // asks for
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "local/runtime/claim_locks.h"
#include "local/runtime/container_env.h"
#include "local/runtime/container_process.h"
#include "local/runtime/gpus.h"
#include "local/runtime/log_store.h"
#include "local/runtime/mounts.h"
#include "local/runtime/node_api.h"
#include "local/runtime/pod_machine.h"
#include "local/runtime/pod_names.h"
#include "local/runtime/prober.h"
#include "local/runtime/reactor.h"

namespace muster::local {

struct NodeOptions {
  std::string name = "muster-local";
  std::string host_ip = "127.0.0.1";
  std::string api_host = {};  // of the API server, for programs in pods; "": they are not told
  int api_port = 0;
  std::filesystem::path binaries;        // muster-init and what the project's images stand for
  std::filesystem::path run_folder;      // pods/ and logs/ go there
  std::filesystem::path volumes_folder;  // claims; kept
  std::int64_t cpu_milli = 0;            // capacity, for resourceFieldRef
  std::int64_t memory_milli = 0;
  std::vector<std::string> gpus = {};  // as CUDA_VISIBLE_DEVICES names them
};

// Lives on the reactor's thread. Destroying it kills what runs and removes the pod's files.
class PodRunner {
 public:
  // What the pods of a node share; it outlives them.
  struct Shared {
    PodNames& names;
    GpuPool& gpus;
    ClaimLocks& claims;
  };
  PodRunner(Reactor& reactor, NodeApi& api, LogStore& logs, const Shared& shared, const NodeOptions& options,
            const Json& pod, std::string pod_ip);
  ~PodRunner();
  PodRunner(const PodRunner&) = delete;
  PodRunner& operator=(const PodRunner&) = delete;

  void begin();
  [[nodiscard]] bool begun() const { return begun_; }
  void update(const Json& pod);
  void shut_down(std::chrono::milliseconds grace);
  [[nodiscard]] bool nothing_runs() const { return running_.empty() && machine_.nothing_runs(); }
  [[nodiscard]] const std::string& ip() const { return ip_; }
  [[nodiscard]] std::string name() const;  // "namespace/name"
  void on_idle(std::function<void()> handler) { idle_ = std::move(handler); }

 private:
  struct Running {
    std::unique_ptr<ContainerProcess> process;
    std::shared_ptr<ContainerLog> log;
    std::filesystem::path last_words;
    ProbeTarget target;                // once it has started
    std::unique_ptr<Prober> prober;    // likewise
    std::unique_ptr<ProbeCheck> hook;  // of its lifecycle, under way
    std::optional<Reactor::TimerId> hook_over;
  };
  [[nodiscard]] static Moment now();
  void carry_out(const Effects& effects);
  void prepare();
  void start(const std::string& container);
  [[nodiscard]] Result<Variables> variables(const Json& container) const;
  [[nodiscard]] Result<std::vector<Mount>> mounts(const Json& container, const Variables& variables,
                                                  const std::filesystem::path& last_words) const;
  [[nodiscard]] ContainerProcess::Spec plan(const Json& container, const std::vector<std::string>& command,
                                            const Variables& variables, const std::vector<Mount>& mounts,
                                            const std::filesystem::path& last_words) const;
  [[nodiscard]] Status spawn(const std::string& container, const ContainerProcess::Spec& spec,
                             const std::vector<Mount>& mounts, std::shared_ptr<ContainerLog> log);
  void follow_start(const std::string& container, const ContainerProcess::Spec& spec,
                    const std::vector<Mount>& mounts);
  void terminate(const std::string& container);
  void run_hook(const std::string& container, const char* hook, std::function<void(bool success)> then);
  void record_hook_failure(const std::string& container, std::string_view hook, const std::string& output);
  Running take_running(const std::string& container);  // out of running_
  void heard(const std::string& container, ProbeKind kind, bool success, ProbeVerdict verdict,
             const std::string& output);
  void ended(const std::string& container, const ContainerProcess::Ended& how);
  void record(const RecordEvent& event);
  void settle();  // writes the status if it changed, sets the timer
  [[nodiscard]] ReadObject reader() const;

  Reactor& reactor_;
  NodeApi& api_;
  LogStore& logs_;
  const Shared shared_;
  const NodeOptions& options_;
  Json pod_;
  const std::string ip_;
  const std::filesystem::path folder_;
  PodMachine machine_;
  std::vector<std::string> gpus_;  // of this pod, from its preparation to its end
  std::map<std::string, std::filesystem::path> volumes_;
  std::map<std::string, Running> running_;
  Json written_;  // the status that the API has
  std::optional<Reactor::TimerId> timer_;
  std::function<void()> idle_;
  bool begun_ = false;
  int depth_ = 0;  // of carry_out, which a failed start enters again
};

}  // namespace muster::local
