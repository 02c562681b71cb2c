// cli/log_absence.cc: why a pod whose log is asked for is not there
#include "cli/log_absence.h"

#include <fmt/format.h>

#include "cli/job_view.h"
#include "common/base/text.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

struct Pods {
  std::string role;
  std::int64_t count = 0;  // how many there are of it
};

Pods pods_of(const Json& job, const AskedPod& asked) {
  const Json& spec = member(job, "spec");
  if (text_at(job, "kind") != "FederatedRound") {
    if (asked.role == "server") {
      const Json& served = member(spec, "synchronization");
      const bool any = text_at(served, "topology") == "ParameterServer";
      return {"server", any ? integer(member(served, "parameterServers", "shards"), 1) : 0};
    }
    const bool workers = asked.role.empty() || asked.role == "worker";
    return {asked.role.empty() ? "worker" : asked.role,
            workers ? integer(member(spec, "workers", "replicas"), 1) : 0};
  }
  if (asked.role != "client")
    return {asked.role.empty() ? "aggregator" : asked.role, asked.role == "worker" ? 0 : 1};
  const std::int64_t per_pod = std::max<std::int64_t>(integer(member(spec, "clients", "perPod"), 1), 1);
  return {"client", (integer(member(spec, "clients", "count")) + per_pod - 1) / per_pod};
}

std::string ready_words(const Json& job) {
  for (const Json& condition : member(job, "status", "conditions"))
    if (text_at(condition, "type") == "PodsReady")
      return printable(fmt::format(": {}: {}", text_at(condition, "reason"), text_at(condition, "message")));
  return "; the operator has not seen it yet";
}

}  // namespace

bool may_have_pod(const Json& job, const AskedPod& asked) {
  const Pods pods = pods_of(job, asked);
  return pods.count > asked.rank.value_or(0);
}

std::string why_no_pods(const Json& job, const AskedPod& asked) {
  const JobView view = view_job(job);
  const Pods pods = pods_of(job, asked);
  if (!view.manager.empty())
    return fmt::format("{} is managed by {}, which makes its pods, perhaps in another cluster", view.name,
                       view.manager);
  const bool suspended = view.phase == "Suspended";
  if (pods.count == 0 && !suspended)
    return fmt::format("{} is a {}, which has no pod with role {}; see `muster status {}`", view.name,
                       view.kind, pods.role, view.name);
  if (!may_have_pod(job, asked) && !suspended)
    return fmt::format("{} has {} pod{} with role {}: there is no rank {}", view.name, pods.count,
                       pods.count == 1 ? "" : "s", pods.role, *asked.rank);
  if (suspended && member(job, "spec", "suspend") != true)
    return fmt::format("{} has no pods{}", view.name, ready_words(job));
  if (suspended)
    return fmt::format("{0} is suspended and has no pods; `muster resume {0}` lets it go on", view.name);
  const std::string whose = asked.rank ? fmt::format("{} {}", pods.role, *asked.rank) : pods.role + "s";
  if (view.finished())
    return fmt::format(
        "the logs of {}'s {} went with the pods: it has {}; with runPolicy.cleanPodPolicy None they stay",
        view.name, whose, view.succeeded ? "succeeded" : "failed");
  return fmt::format("{}'s {} {} no pod yet{}", view.name, whose, asked.rank ? "has" : "have",
                     ready_words(job));
}

}  // namespace muster::cli
