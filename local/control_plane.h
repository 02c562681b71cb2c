#pragma once  // local/control_plane.h: API server, node, scheduler and operator of one machine, as one object
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace muster::local {

class ApiServer;

// Everything that `muster local up` and `muster run` start. Pods and the operator are child processes that
// end with it, also when this process is killed. Thread-safe after start().
class ControlPlane {
 public:
  struct Options {
    std::filesystem::path data_folder = "muster-out";  // volumes/<namespace>/<claim> of claims; kept
    std::filesystem::path
        binaries;  // muster-worker, muster-operator, muster-init, ...; empty: beside this executable
    std::vector<std::string> crds;         // JSON or YAML texts, served from the start
    int port = 0;                          // of the API server; 0: a free one
    bool watch_list = false;               // the API server's feature gate WatchList
    std::filesystem::path audit_log = {};  // of the API server's requests; empty: none
    bool run_operator = true;              // false: the API and the node alone
    std::filesystem::path runtime_folder;  // where the run folder goes; empty: $XDG_RUNTIME_DIR, else /tmp
  };

  // Ready when it returns: the API answers, the node is Ready, the operator runs. Folders left by killed runs
  // are removed. Errors name what is missing and the remedy (a binary: `./dev build`; a port in use: another
  // --port).
  [[nodiscard]] static Result<std::unique_ptr<ControlPlane>> start(Options options);
  ~ControlPlane();  // stops, with the deadline kStopTime

  [[nodiscard]] std::filesystem::path kubeconfig_path() const;  // mode 0600, gone after stop()
  [[nodiscard]] std::string url() const;                        // "https://127.0.0.1:41234"
  [[nodiscard]] std::filesystem::path run_folder() const;       // mode 0700, gone after stop()
  [[nodiscard]] std::filesystem::path volumes_folder() const;   // data_folder/volumes
  [[nodiscard]] std::filesystem::path operator_log() const;
  // The last lines of the operator's log, to show when something failed.
  [[nodiscard]] std::string operator_log_tail(std::size_t lines = 20) const;
  [[nodiscard]] ApiServer& api();

  // Ends the operator and all pods (SIGTERM, 2 s, SIGKILL), then the server, and removes the run folder. Safe
  // to call twice. kDeadlineExceeded if something was left at `deadline` (names it).
  Status stop(Deadline deadline);

  static constexpr std::chrono::seconds kStopTime{5};

 private:
  struct Impl;
  explicit ControlPlane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::local
