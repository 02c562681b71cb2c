#pragma once  // local/api/api_server.h: the embedded Kubernetes API server: loopback, TLS, a token
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "local/api/local_client.h"
#include "local/api/log_source.h"
#include "local/api/object_store.h"

namespace muster::local {

class ApiServer {  // thread-safe
 public:
  struct Options {
    std::string ip = "127.0.0.1";   // loopback addresses only
    int port = 0;                   // 0: a free one
    std::filesystem::path folder;   // certificate and kubeconfig go there; created with mode 0700
    std::vector<std::string> crds;  // JSON or YAML texts, with CustomResourceDefinitions
    LogSource* logs =
        nullptr;  // outlives the server; null: pods have no logs (attach_logs() gives them later)
    std::filesystem::path audit_log;  // empty: none
    bool watch_list = false;  // sendInitialEvents is served, as with Kubernetes' feature gate WatchList
    std::chrono::seconds event_lifetime{3600};
  };

  // Ready to serve when it returns; kubeconfig (mode 0600) is written. Errors: kUnavailable: the port is in
  // use (says which); kInvalidArgument: not a loopback address, or a CRD that is refused (says why).
  [[nodiscard]] static Result<std::unique_ptr<ApiServer>> start(Options options);
  ~ApiServer();  // stops

  [[nodiscard]] std::string url() const;  // "https://127.0.0.1:41234"
  [[nodiscard]] int port() const;
  [[nodiscard]] std::filesystem::path kubeconfig_path() const;
  void attach_logs(LogSource* logs);  // null detaches; returns when no reader is left in the old one

  [[nodiscard]] ObjectStore& store();
  [[nodiscard]] LocalClient& client();  // for the node, in this process

  // Ends watches and log streams, closes the port; takes less than a second. Safe to call twice.
  void stop();

 private:
  struct Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::local
