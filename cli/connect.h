#pragma once  // cli/connect.h: which API server a verb talks to
#include <memory>
#include <string>

#include "kube/client.h"

namespace muster::cli {

struct Connection {
  std::unique_ptr<kube::Client> client;
  std::string server;
  std::string default_namespace;
};

// --kubeconfig, else $KUBECONFIG, else the running `muster local up`, else ~/.kube/config. Opens no
// connection.
[[nodiscard]] Result<Connection> connect(const std::string& kubeconfig);

// `error`, with what to do about it where the code tells (server out of reach, credentials refused).
[[nodiscard]] Error explain(const Error& error, const std::string& server);

}  // namespace muster::cli
