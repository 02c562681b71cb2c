// cli/run.cc: `muster run FILE...`: the manifests' jobs from start to end, without a cluster
#include "cli/run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <thread>

#include "cli/apply.h"
#include "cli/collect.h"
#include "cli/console.h"
#include "cli/embedded_crds.h"
#include "cli/exit_code.h"
#include "cli/files.h"
#include "cli/format.h"
#include "cli/output_folder.h"
#include "cli/programs.h"
#include "cli/run_session.h"
#include "kube/cpprest_transport.h"
#include "kube/kube_config.h"
#include "local/control_plane.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

constexpr int kHttpThreads = 8;  // of the client; before it is made
constexpr auto kStop = 4500ms;   // leaves half a second of the 5 s that Ctrl-C may take

Instant now() { return std::chrono::steady_clock::now(); }

// While it lives, a further signal ends this process at once; the pods' processes die with it.
class HardStop {
 public:
  HardStop(SignalWaiter& signals, std::filesystem::path run_folder)
      : thread_([&signals, folder = std::move(run_folder)](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            if (!signals.wait(100ms)) continue;
            std::error_code ignored;
            if (!folder.empty()) std::filesystem::remove_all(folder, ignored);
            ::_exit(kExitInterrupted);
          }
        }) {}

 private:
  std::jthread thread_;
};

Status stop_plane(local::ControlPlane& plane, SignalWaiter& signals) {
  const HardStop hard(signals, plane.run_folder());
  return plane.stop(deadline_after(kStop));
}

struct Ended {
  RunSession::End how = RunSession::End::kDone;
  std::vector<Outcome> outcomes;
};

Result<Ended> run_jobs(const RunOptions& options, const std::vector<ManifestObject>& objects,
                       local::ControlPlane& plane, SignalWaiter& signals, Console& console, Instant start) {
  MUSTER_ASSIGN(const kube::ClusterConfig config,
                kube::load_cluster_config({plane.kubeconfig_path().string(), ""}));
  kube::Client::Options client_options;
  client_options.request_timeout = 10s;  // the server is on this machine
  MUSTER_ASSIGN(const std::unique_ptr<kube::Client> client, kube::make_client(config, client_options));
  if (options.verbose) {
    console.write(
        fmt::format("API server {}\nexport KUBECONFIG={}\n", plane.url(), plane.kubeconfig_path().string()));
  }
  MUSTER_ASSIGN(const std::vector<Json> jobs, apply_objects(*client, objects));
  Monitor::Options monitor_options;
  monitor_options.progress_lines = !console.terminal();
  Monitor monitor(monitor_options, start);
  for (const Json& job : jobs) monitor.expect(job);

  Ended ended;
  {
    RunSession session(*client, signals, console, monitor, {options.timeout, options.verbose});
    ended.how = session.follow();
  }
  std::set<std::string> taken;
  for (const Tracked& job : monitor.jobs()) {
    Outcome outcome = make_outcome(job, now());
    if (ended.how != RunSession::End::kInterrupted) {
      collect_files(outcome, job.object, plane.volumes_folder(),
                    options.output_dir / output_folder(job.view, taken));
    }
    ended.outcomes.push_back(std::move(outcome));
  }
  return ended;
}

int report(const RunOptions& options, const Ended& ended, Console& out, Instant start) {
  bool succeeded = true;
  bool whole = true;
  for (const Outcome& outcome : ended.outcomes) {
    succeeded = succeeded && outcome.view.succeeded;
    whole = whole && outcome.lost_files.empty();
  }
  if (options.json) {
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(now() - start);
    out.write(summary_json(ended.outcomes, time).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  } else {
    out.write("\n" + render_summary(ended.outcomes, out.style().width));
  }
  for (const Outcome& outcome : ended.outcomes) {
    if (const std::string failure = render_failure(outcome); !failure.empty()) {
      print_error(failure.substr(0, failure.size() - 1));
    }
    for (const std::string& lost : outcome.lost_files) print_error(outcome.view.title() + ": " + lost);
  }
  if (ended.how == RunSession::End::kTimeout) {
    print_error(fmt::format("not finished after {} s; give it a longer --timeout", options.timeout->count()));
  }
  if (!succeeded) return kExitFailed;
  const int shown = finish(out);
  return whole ? shown : kExitEnvironment;
}

}  // namespace

Result<std::vector<ManifestObject>> load_manifests(const std::vector<std::string>& files) {
  std::vector<ManifestObject> objects;
  std::string problems;
  bool refused = false;
  for (const std::string& file : files) {
    auto text = read_file(file, kManifestBytesMax);
    auto parsed = text ? parse_manifest(*text, file == "-" ? "standard input" : file)
                       : Result<std::vector<ManifestObject>>(text.error());
    refused = refused || !parsed;
    if (!parsed) problems += (problems.empty() ? "" : "\n") + parsed.error().message;
    if (parsed)
      objects.insert(objects.end(), std::move_iterator(parsed->begin()), std::move_iterator(parsed->end()));
  }
  if (refused) return invalid_argument(problems);
  MUSTER_TRY(check_together(objects));
  MUSTER_TRY(check_model_folders(objects));
  for (const ManifestObject& object : objects) {
    if (object.is_job()) return objects;
  }
  return invalid_argument(
      fmt::format("{}: no DistributedJob or FederatedRound in it; add one to run", files.front()));
}

int run(const RunOptions& options) {
  const Instant start = now();
  const auto objects = load_manifests(options.files);
  if (!objects) {
    print_error(objects.error().message);
    return kExitUsage;
  }
  Status ready = check_programs(*objects, program_folder());
  if (ready) ready = prepare_output(options.output_dir, *objects);
  if (!ready) {
    print_error(ready.error().message);
    return kExitEnvironment;
  }
  SignalWaiter signals;
  Console out(Console::Stream::kOut);
  Console progress(options.json ? Console::Stream::kError : Console::Stream::kOut);

  local::ControlPlane::Options plane_options;
  plane_options.data_folder = options.output_dir;
  plane_options.crds = embedded_crds();
  kube::set_http_threads(kHttpThreads);
  auto plane = local::ControlPlane::start(std::move(plane_options));
  if (!plane) {
    print_error(plane.error().message);
    return kExitEnvironment;
  }
  auto ended = run_jobs(options, *objects, **plane, signals, progress, start);
  if (options.verbose && (!ended || ended->how == RunSession::End::kTimeout)) {
    print_error("the operator's last words:\n" + (*plane)->operator_log_tail());
  }
  const Status stopped = stop_plane(**plane, signals);
  if (!stopped) print_error(stopped.error().message);
  if (!ended) {
    print_error(ended.error().message);
    return ended.error().code == Code::kInvalidArgument ? kExitUsage : kExitEnvironment;
  }
  if (ended->how == RunSession::End::kInterrupted) {
    if (stopped) print_error("interrupted; all processes of the run have ended");
    return kExitInterrupted;
  }
  return report(options, *ended, out, start);
}

}  // namespace muster::cli
