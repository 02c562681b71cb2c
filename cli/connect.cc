// cli/connect.cc: which API server a verb talks to
#include "cli/connect.h"

#include <fmt/format.h>

#include <cstdlib>

#include "cli/local_state.h"
#include "kube/api_error.h"
#include "kube/kube_config.h"

namespace muster::cli {

Result<Connection> connect(const QueryOptions& query) {
  kube::KubeConfigOptions options{
      .path = query.kubeconfig, .context = query.context, .cluster = query.cluster, .user = query.user};
  const char* variable = std::getenv("KUBECONFIG");
  const bool one_named = !query.context.empty() || !query.cluster.empty() || !query.user.empty();
  const bool nothing_said = options.path.empty() && (variable == nullptr || *variable == '\0') && !one_named;
  if (nothing_said) {
    if (const auto local = find_local_up()) options.path = local->kubeconfig;
  }
  auto config = kube::load_cluster_config(options);
  if (!config && config.error().code == Code::kNotFound && nothing_said) {
    return not_found(config.error().message +
                     " (without a cluster: start `muster local up` in another terminal)");
  }
  MUSTER_TRY(config);
  kube::Client::Options client_options;
  client_options.request_timeout = std::chrono::seconds(10);  // a person waits
  Connection connection;
  MUSTER_ASSIGN(connection.client, kube::make_client(*config, client_options));
  connection.server = config->server;
  connection.default_namespace = config->default_namespace.empty() ? "default" : config->default_namespace;
  return connection;
}

Error explain(const Error& error, const std::string& server) {
  if (kube::is_away(error)) {
    return {error.code,
            fmt::format("the API server {} is out of reach: {}; is it running? Check $KUBECONFIG, or start "
                        "`muster local up`",
                        server, error.message)};
  }
  if (error.code == Code::kUnauthenticated) {
    return {error.code,
            fmt::format("the API server {} refuses the credentials: {}; check the kubeconfig's user", server,
                        error.message)};
  }
  return error;
}

}  // namespace muster::cli
