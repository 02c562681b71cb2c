// worker/shell/main.cc: the program muster-worker: flags, environment, exit code
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "common/platform/end_process.h"
#include "common/platform/file_limit.h"
#include "learning/model.h"
#include "pod/pod_contract.h"
#include "worker/shell/worker.h"

int main(int argc, char** argv) try {
  CLI::App app(
      "Trains one rank of a DistributedJob. The operator starts it in a pod (MUSTER_POD_NAME, "
      "MUSTER_POD_IP,\n"
      "MUSTER_JOB_UID), dials it on port 8470 and gives it rank, peers and spec. It listens on MUSTER_POD_IP "
      "alone.\n"
      "Exit codes: 0 done; 65 spec or data cannot work; 74 storage; 75 a peer was lost or a wait ran out; "
      "143 stopped.",
      "muster-worker");
  app.set_version_flag("--version", "muster-worker " MUSTER_VERSION);
  double configure_timeout_seconds = 600;
  app.add_option("--configure-timeout", configure_timeout_seconds,
                 "Seconds to wait for the operator's assignment")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  int compute_threads = 1;
  app.add_option("--compute-threads", compute_threads, "Threads of one training step")
      ->envname("MUSTER_COMPUTE_THREADS")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    muster::end_process(app.exit(error) == 0 ? 0 : muster::kExitInvalid);
  }
  muster::learning::set_compute_threads(compute_threads);
  muster::allow_many_files();  // two connections with each other rank
  muster::end_process(muster::worker::run_worker(
      std::chrono::milliseconds(static_cast<std::int64_t>(configure_timeout_seconds * 1000))));
} catch (const std::exception& error) {
  std::fprintf(stderr, "muster-worker: %s\n", error.what());
  muster::end_process(1);  // as any failure without a code of its own: the pod is tried again
}
