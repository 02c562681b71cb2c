// operator/shell/await_job.cc: asks for one job once a second until it has ended
#include "operator/shell/await_job.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "common/base/clock.h"
#include "common/json/access.h"
#include "kube/client.h"
#include "kube/kube_config.h"

namespace muster::op {
namespace {

constexpr std::chrono::seconds kInterval{1};

// What the job's newest condition says of it, e.g. why it waits.
std::string newest_message(const Json& job) {
  std::string newest;
  std::string message;
  for (const Json& condition : member(job, "status", "conditions")) {
    const std::string since = text_at(condition, "lastTransitionTime");
    if (since < newest) continue;
    newest = since;
    message = text_at(condition, "message");
  }
  return message;
}

}  // namespace

Status await_job(const AwaitOptions& options, SignalWaiter& signals) {
  const auto slash = options.job.find('/');
  const std::string ns = options.job.substr(0, slash);
  const std::string name = slash == std::string::npos ? "" : options.job.substr(slash + 1);
  if (ns.empty() || name.empty())
    return invalid_argument(fmt::format("--await {} is not NAMESPACE/NAME of a DistributedJob", options.job));
  MUSTER_ASSIGN(const kube::ClusterConfig config,
                kube::load_cluster_config({.path = options.kubeconfig, .context = {}, .controller = true}));
  kube::Client::Options client_options;
  client_options.request_timeout = std::chrono::seconds(10);
  MUSTER_ASSIGN(const std::unique_ptr<kube::Client> client, kube::make_client(config, client_options));
  const Deadline deadline = deadline_after(std::chrono::seconds(options.seconds));
  std::string said;
  while (true) {
    const auto job = client->get(kube::kDistributedJobs, ns, name);
    const std::string phase = job ? text(member(*job, "status", "phase"), "not seen by an operator yet") : "";
    const std::string message = job ? newest_message(*job) : job.error().message;
    const std::string state = fmt::format("DistributedJob {}: {}{}{}", options.job, phase,
                                          phase.empty() || message.empty() ? "" : ": ", message);
    if (state != said) std::printf("%s\n", state.c_str());
    std::fflush(stdout);
    said = state;
    if (phase == "Succeeded") return {};
    if (phase == "Failed") return failed_precondition(state);
    if (std::chrono::steady_clock::now() >= deadline) {
      return deadline_exceeded(fmt::format("{} s are over; the last known: {}", options.seconds, state));
    }
    if (signals.wait(kInterval)) return Error{Code::kCancelled, "a signal came before the end of the job"};
  }
}

}  // namespace muster::op
