#pragma once  // cli/connect.h: which API server a verb talks to
#include <memory>
#include <string>

#include "cli/get.h"
#include "kube/client.h"

namespace muster::cli {

struct Connection {
  std::unique_ptr<kube::Client> client;
  std::string server;
  std::string default_namespace;
};

// --kubeconfig, else $KUBECONFIG, else the running `muster local up`, unless a context, cluster or user is
// named, which it does not have; else ~/.kube/config. Opens no connection.
[[nodiscard]] Result<Connection> connect(const QueryOptions& query);

// `error`, with what to do about it where the code tells (server out of reach, credentials refused).
[[nodiscard]] Error explain(const Error& error, const std::string& server);

}  // namespace muster::cli
