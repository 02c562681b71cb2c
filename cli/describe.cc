// cli/describe.cc: `muster describe KIND NAME`: the object, its conditions, its pods, what
#include "cli/describe.h"

#include <algorithm>
#include <set>

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/describe_view.h"
#include "cli/exit_code.h"
#include "cli/resources.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

std::string uid_of(const Json& object) { return meta_text(object, "uid"); }

Result<std::string> describe_object(kube::Client& client, const kube::Resource& resource,
                                    const std::string& ns, const std::string& name) {
  MUSTER_ASSIGN(const Json object, client.get(resource, ns, name));
  std::vector<Json> pods;
  std::set<std::string> uids{uid_of(object)};
  if (resource.group == kube::kDistributedJobs.group) {
    kube::ListOptions list;
    list.label_selector = "muster.dev/job-uid=" + uid_of(object);
    MUSTER_ASSIGN(kube::ListPage page, client.list_all(kube::kPods, ns, list));
    pods = std::move(page.items);
    for (const Json& pod : pods) uids.insert(uid_of(pod));
  }
  MUSTER_ASSIGN(kube::ListPage events, client.list_all(kube::kEvents, ns));
  std::erase_if(events.items, [&](const Json& event) {
    return !uids.contains(text(member(event, "involvedObject", "uid")));
  });
  return render_description(object, pods, events.items, std::chrono::system_clock::now());
}

}  // namespace

int describe(const DescribeOptions& options) {
  const auto fail = [](const Error& error) {
    print_error(error.message);
    return exit_code_of(error);
  };
  const auto resource = find_resource(options.kind);
  if (!resource) return fail(resource.error());
  const auto connection = connect(options.query.kubeconfig);
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
