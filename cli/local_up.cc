// cli/local_up.cc: `muster local up`: the control plane of this machine, in the foreground
#include "cli/local_up.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <thread>

#include "cli/console.h"
#include "cli/embedded_crds.h"
#include "cli/exit_code.h"
#include "cli/local_state.h"
#include "common/platform/signals.h"
#include "local/control_plane.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kStop = 4500ms;  // leaves half a second of the 5 s that Ctrl-C may take

std::string greeting(const local::ControlPlane& plane, bool has_operator) {
  return fmt::format(
      "The Kubernetes API of this machine is at {}\n\n"
      "  export KUBECONFIG={}\n\n"
      "{}Then, in another terminal:\n"
      "  kubectl apply -f examples/distributed/fashion-mnist-ring.yaml\n"
      "  kubectl get dj -w           or   muster get dj -w\n"
      "  kubectl logs -f POD         or   muster logs -f NAME\n\n"
      "Volumes are kept in {}. Ctrl-C ends everything.\n",
      plane.url(), plane.kubeconfig_path().string(),
      has_operator ? "" : "No operator runs (--no-operator): start muster-operator with this KUBECONFIG.\n\n",
      plane.volumes_folder().string());
}

void wait_for_signal(SignalWaiter& signals) {
  pollfd fd{signals.fd(), POLLIN, 0};
  while (::poll(&fd, 1, -1) <= 0) {
  }
  (void)signals.wait(0ms);
}

}  // namespace

int local_up(const LocalUpOptions& options) {
  SignalWaiter signals;
  auto claim = LocalClaim::take();
  if (!claim) {
    print_error(claim.error().message);
    return kExitEnvironment;
  }
  local::ControlPlane::Options plane_options;
  plane_options.data_folder = options.output_dir;
  plane_options.crds = embedded_crds();
  plane_options.port = options.port;
  plane_options.watch_list = options.watch_list;
  plane_options.audit_log = options.audit_log;
  plane_options.run_operator = options.run_operator;
  auto plane = local::ControlPlane::start(std::move(plane_options));
  if (!plane) {
    print_error(plane.error().message);
    return kExitEnvironment;
  }
  Console out(Console::Stream::kOut);
  Status published = claim->publish({::getpid(), (*plane)->url(), (*plane)->kubeconfig_path().string()});
  if (published) {
    out.write(greeting(**plane, options.run_operator));
    wait_for_signal(signals);
    out.write("ending the pods...\n");
  } else {
    print_error(published.error().message);
  }
  const std::jthread hard([&](const std::stop_token& over) {
    while (!over.stop_requested()) {
      if (!signals.wait(100ms)) continue;
      std::error_code ignored;
      std::filesystem::remove_all((*plane)->run_folder(), ignored);
      ::_exit(kExitInterrupted);  // a second Ctrl-C: the pods' processes die with this one
    }
  });
  const Status stopped = (*plane)->stop(deadline_after(kStop));
  if (!stopped) print_error(stopped.error().message);
  return published && stopped ? kExitDone : kExitEnvironment;
}

}  // namespace muster::cli
