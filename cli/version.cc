// cli/version.cc: `muster version`
#include "cli/version.h"

#include <fmt/format.h>

#include <cstdlib>

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/exit_code.h"

namespace muster::cli {
namespace {

Result<Json> server_version(const QueryOptions& query) {
  MUSTER_ASSIGN(const Connection connection, connect(query));
  kube::HttpRequest request;
  request.target = "/version";
  request.headers = {{"Accept", "application/json"}};
  const auto answer = connection.client->raw(std::move(request));
  if (!answer) return explain(answer.error(), connection.server);
  return parse_json(answer->body, "the server's version");
}

bool kubeconfig_named(const VersionOptions& options) {
  const char* variable = std::getenv("KUBECONFIG");
  const QueryOptions& query = options.query;
  return !query.kubeconfig.empty() || !query.context.empty() || !query.cluster.empty() ||
         !query.user.empty() || (variable != nullptr && *variable != '\0');
}

}  // namespace

int version(const VersionOptions& options) {
  Console out(Console::Stream::kOut);
  Json shown{{"client", MUSTER_VERSION}};
  Status asked;
  if (!options.client_only) {
    auto server = server_version(options.query);
    if (server) {
      shown["server"] = server->value("gitVersion", "unknown");
    } else if (server.error().code != Code::kNotFound || kubeconfig_named(options)) {
      asked = server.error();  // without a server the client's version is the whole answer
    }
  }
  if (options.json) {
    out.write(shown.dump(2) + "\n");
  } else {
    out.write(fmt::format("muster {}\n", MUSTER_VERSION));
    if (shown.contains("server")) out.write(fmt::format("server {}\n", shown["server"].get<std::string>()));
  }
  if (asked) return finish(out);
  print_error(asked.error().message);
  return exit_code_of(asked.error());
}

}  // namespace muster::cli
