#pragma once  // kube/kube_config.h: which cluster to talk to and as whom: kubeconfig files or the pod's own
              // account
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/result.h"

namespace muster::kube {

// What proves who we are. All empty: anonymous.
struct Identity {
  std::string bearer_token{};
  std::string client_certificate_pem{};
  std::string client_key_pem{};
  std::string username{};  // basic authentication
  std::string password{};
};

// Credentials that may change while we run: token files are re-read, exec plugins run again. Thread-safe.
class IdentitySource {
 public:
  virtual ~IdentitySource() = default;
  [[nodiscard]] virtual Result<Identity> get() = 0;
  virtual void invalidate() = 0;  // the server said 401: the next get() asks anew
};

struct ClusterConfig {
  std::string server;           // "https://host:port/prefix", no trailing slash
  std::string ca_pem;           // empty: the system's authorities
  std::string ca_file;          // where ca_pem came from, when a file: re-read for new connections
  std::string tls_server_name;  // empty: the host in `server`
  bool insecure_skip_tls_verify = false;
  std::string default_namespace = "default";
  bool in_pod = false;  // this is the service account of the pod that we run in
  std::string source;   // for messages: the file, or "the pod's service account"
  std::shared_ptr<IdentitySource> identity;
};

struct KubeConfigOptions {
  std::string path{};     // --kubeconfig; empty: $KUBECONFIG (a list), then ~/.kube/config, then in-cluster
  std::string context{};  // empty: current-context
  std::string
      cluster{};       // in the stead of the context's; then a context is not needed, if `user` is given, too
  std::string user{};  // likewise
  bool controller{};   // the pod's service account comes before ~/.kube/config, as controllers look for it
};

// Errors name the file and what to do: kNotFound: no configuration anywhere, or the file is missing.
// kPermissionDenied: unreadable. kInvalidArgument: not YAML, a missing context/cluster/user, unsupported
// fields.
[[nodiscard]] Result<ClusterConfig> load_cluster_config(const KubeConfigOptions& options = {});

// The service account of the pod that we run in.
inline constexpr const char* kAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
[[nodiscard]] Result<ClusterConfig> in_cluster_config(const std::filesystem::path& folder);

}  // namespace muster::kube
