// worker/shell/main.cc: the program muster-worker: flags, environment, exit code
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "common/platform/log.h"
#include "common/platform/pod.h"
#include "common/platform/signals.h"
#include "learning/task.h"
#include "worker/shell/worker.h"

namespace {

// A whole number of the environment; `otherwise` when it is not set, an error line when it is no number.
std::int64_t number_from_environment(const char* name, std::int64_t otherwise, std::int64_t max) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  const std::string_view view(text);
  std::int64_t value = 0;
  const auto parsed = std::from_chars(view.data(), view.data() + view.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != view.data() + view.size() || value < 1 || value > max) {
    spdlog::warn("environment variable {} is \"{}\", not a number from 1 to {}: taking {}", name, view, max,
                 otherwise);
    return otherwise;
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
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
  CLI11_PARSE(app, argc, argv);

  setenv("GRPC_VERBOSITY", "NONE", 0);  // what fails is said by our own errors
  muster::init_log("worker");
  muster::SignalWaiter signals;
  auto pod = muster::pod_environment();
  if (!pod) {
    spdlog::error("{}", pod.error().message);
    return muster::kExitInvalid;
  }
  constexpr std::int64_t kThreadsMax = 1024;
  muster::learning::set_compute_threads(
      static_cast<int>(number_from_environment("MUSTER_COMPUTE_THREADS", 1, kThreadsMax)));
  const muster::worker::WorkerOptions options{
      .pod = *std::move(pod),
      .generation = number_from_environment("MUSTER_GENERATION", 0, std::numeric_limits<std::int64_t>::max()),
      .configure_timeout =
          std::chrono::milliseconds(static_cast<std::int64_t>(configure_timeout_seconds * 1000))};
  return muster::worker::run_worker(options, signals).exit_code;
}
