// local/control_plane.cc: puts API server, scheduler, node and operator together, and takes them apart in
// order
#include "local/control_plane.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <system_error>
#include <utility>

#include "common/platform/log.h"
#include "common/platform/mutex.h"
#include "local/api/api_server.h"
#include "local/machine.h"
#include "local/node_adapter.h"
#include "local/operator_process.h"
#include "local/run_folder.h"
#include "local/runtime/addresses.h"
#include "local/runtime/node.h"
#include "local/scheduler.h"
#include "local/workload_controller.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNodeName = "muster-local";
constexpr const char* kOperatorNamespace =
    "muster-system";                          // as the chart names it: the operator keeps its Secrets there
constexpr const char* kHostIp = "127.0.0.1";  // of the API server
// Of the node: as in a cluster it is not the address by which every pod means itself.
constexpr const char* kNodeIp = "127.0.0.2";
constexpr int kProgressPort = 8473;  // of the operator, at an address of its own
constexpr std::chrono::milliseconds kOperatorGrace{1'000};
constexpr std::chrono::milliseconds kPodGrace{2'000};
constexpr std::size_t kLinesKept = 200;  // of the operator's log, after stop()

Result<fs::path> folder_of_this_program() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error)
    return failed_precondition(fmt::format("cannot read /proc/self/exe: {}; mount /proc", error.message()));
  return program.parent_path();
}

std::string last_lines(const std::string& text, std::size_t lines) {
  std::size_t at = text.size();
  while (at > 0 && (lines > 0 || text[at - 1] != '\n')) {
    --at;
    if (at > 0 && text[at - 1] == '\n') --lines;
    if (lines == 0) break;
  }
  return text.substr(at);
}

}  // namespace

struct ControlPlane::Impl {
  Options options;
  fs::path volumes;
  fs::path kubeconfig;
  std::string url;
  // In the order of their start; members are destroyed from the last to the first.
  std::unique_ptr<RunFolder> folder;
  std::unique_ptr<LogStore> logs;
  std::unique_ptr<ApiServer> api;
  std::unique_ptr<NodeAdapter> adapter;
  std::unique_ptr<WorkloadController> workloads;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Node> node;
  AddressPool operator_addresses{std::random_device{}(), {kProgressPort}};
  std::unique_ptr<OperatorProcess> the_operator;
  fs::path folder_path;
  Mutex mutex;  // also of the_operator, against stop()
  bool stopped MUSTER_GUARDED_BY(mutex) = false;
  std::string last_operator_log MUSTER_GUARDED_BY(mutex);  // once stopped

  Status start_api() {
    MUSTER_ASSIGN(folder, RunFolder::create(options.runtime_folder));
    folder_path = folder->path();
    logs = std::make_unique<LogStore>(folder_path / "logs");
    ApiServer::Options wanted;
    wanted.ip = kHostIp;
    wanted.port = options.port;
    wanted.folder = folder_path / "api";
    wanted.crds = options.crds;
    wanted.watch_list = options.watch_list;
    wanted.audit_log = options.audit_log;
    wanted.logs = logs.get();
    MUSTER_ASSIGN(api, ApiServer::start(std::move(wanted)));
    kubeconfig = api->kubeconfig_path();
    url = api->url();
    return {};
  }

  Status start_node() {
    const Machine machine = this_machine(folder_path);
    const Json object = node_object(machine, kNodeName, kNodeIp);
    LocalClient& client = api->client();
    if (const auto created = client.create("nodes", "", object);
        !created && created.error().code != Code::kAlreadyExists) {
      return created.error().in("node muster-local");
    }
    if (const auto written = client.patch_status("nodes", "", kNodeName, {{"status", object["status"]}});
        !written) {
      return written.error().in("node muster-local");
    }
    adapter = std::make_unique<NodeAdapter>(client, kNodeName);
    MUSTER_ASSIGN(node, Node::start(*adapter, *logs,
                                    {.name = kNodeName,
                                     .host_ip = kNodeIp,
                                     .api_host = kHostIp,
                                     .api_port = api->port(),
                                     .binaries = options.binaries,
                                     .run_folder = folder_path,
                                     .volumes_folder = volumes,
                                     .cpu_milli = machine.cpus * 1000,
                                     .memory_milli = machine.memory_bytes * 1000,
                                     .gpus = machine.gpus}));
    scheduler = std::make_unique<Scheduler>(client, kNodeName);
    workloads = std::make_unique<WorkloadController>(client);
    return {};
  }

  Status start_operator() {
    if (!options.run_operator) return {};
    const Json home{
        {"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", kOperatorNamespace}}}};
    if (const auto made = api->client().create("namespaces", "", home); !made) return made.error();
    // The same after a restart of the operator: pods that run know no other.
    MUSTER_ASSIGN(const std::string address, operator_addresses.take());
    MUSTER_ASSIGN(the_operator,
                  OperatorProcess::start(
                      {.binaries = options.binaries,
                       .arguments = {"--kubeconfig", kubeconfig.string(), "--metrics-address", "127.0.0.1:0",
                                     "--progress-address", fmt::format("{}:{}", address, kProgressPort)},
                       .run_folder = folder_path}));
    return {};
  }

  // The operator and the controllers first, so that they start no pod for one that ends; the server last, so
  // that pods can say how they ended.
  Status stop(Deadline deadline) {
    const MutexLock lock(mutex);
    if (stopped) return {};
    stopped = true;
    Status first;
    const auto keep = [&first](Status status) {
      if (first && !status) first = std::move(status);
    };
    if (the_operator) keep(the_operator->stop(kOperatorGrace, deadline));
    if (workloads) workloads->stop();
    if (scheduler) scheduler->stop();
    if (adapter) adapter->close();
    if (node) keep(node->stop(kPodGrace, deadline));
    if (api) {
      api->attach_logs(nullptr);
      api->stop();
    }
    if (the_operator) last_operator_log = the_operator->log_tail(kLinesKept);
    the_operator.reset();
    workloads.reset();
    scheduler.reset();
    node.reset();
    adapter.reset();
    api.reset();
    logs.reset();
    folder.reset();
    return first;
  }
};

ControlPlane::ControlPlane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlPlane::~ControlPlane() {
  if (const Status stopped = stop(deadline_after(kStopTime)); !stopped)
    spdlog::error("{}", stopped.error().message);
}

Result<std::unique_ptr<ControlPlane>> ControlPlane::start(Options options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  if (impl->options.binaries.empty()) {
    MUSTER_ASSIGN(impl->options.binaries, folder_of_this_program());
  }
  std::error_code error;
  impl->volumes = fs::absolute(impl->options.data_folder, error) / "volumes";
  std::unique_ptr<ControlPlane> out(
      new ControlPlane(std::move(impl)));  // stops whatever was started if a step fails
  MUSTER_TRY(out->impl_->start_api());
  MUSTER_TRY(out->impl_->start_node());
  MUSTER_TRY(out->impl_->start_operator());
  return out;
}

fs::path ControlPlane::kubeconfig_path() const { return impl_->kubeconfig; }
std::string ControlPlane::url() const { return impl_->url; }
fs::path ControlPlane::run_folder() const { return impl_->folder_path; }
fs::path ControlPlane::volumes_folder() const { return impl_->volumes; }

fs::path ControlPlane::operator_log() const {
  const MutexLock lock(impl_->mutex);
  return impl_->the_operator ? impl_->the_operator->log_file() : fs::path();
}

std::string ControlPlane::operator_log_tail(std::size_t lines) const {
  const MutexLock lock(impl_->mutex);
  return impl_->the_operator ? impl_->the_operator->log_tail(lines)
                             : last_lines(impl_->last_operator_log, lines);
}

ApiServer& ControlPlane::api() { return *impl_->api; }

Status ControlPlane::stop(Deadline deadline) { return impl_->stop(deadline); }

}  // namespace muster::local
