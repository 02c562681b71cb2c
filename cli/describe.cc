// cli/describe.cc: `muster describe KIND NAME`: the object, its conditions, its pods, what
#include "cli/describe.h"

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/describe_view.h"
#include "cli/evidence.h"
#include "cli/exit_code.h"
#include "cli/resources.h"

namespace muster::cli {
namespace {

Result<std::string> describe_object(kube::Client& client, const kube::Resource& resource,
                                    const std::string& ns, const std::string& name) {
  MUSTER_ASSIGN(const Json object, client.get(resource, ns, name));
  std::vector<Json> pods;
  if (resource.group == kube::kDistributedJobs.group) {
    MUSTER_ASSIGN(pods, pods_of(client, object));
  }
  MUSTER_ASSIGN(kube::ListPage events, client.list_all(kube::kEvents, ns));
  return render_description(object, pods, events_about(object, pods, std::move(events.items)),
                            std::chrono::system_clock::now());
}

}  // namespace

int describe(const DescribeOptions& options) {
  const auto fail = [](const Error& error) {
    print_error(error.message);
    return exit_code_of(error);
  };
  const auto resource = find_resource(options.kind);
  if (!resource) return fail(resource.error());
  const auto connection = connect(options.query);
  if (!connection) return fail(connection.error());
  std::string ns =
      options.query.name_space.empty() ? connection->default_namespace : options.query.name_space;
  if (!resource->namespaced) ns.clear();
  const auto description = describe_object(*connection->client, *resource, ns, options.name);
  if (!description) return fail(explain(description.error(), connection->server));
  Console out(Console::Stream::kOut);
  out.write(*description);
  return finish(out);
}

}  // namespace muster::cli
