// bench/operator/operator_bench.cc: manifest applied -> all pods created, for 1, 10 and 100 jobs, and the
// operator's memory
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "kube/cpprest_transport.h"
#include "kube/informer.h"
#ifdef MUSTER_BENCH_LOCAL
#include <sstream>

#include "local/api/api_server.h"
#endif

extern char** environ;  // NOLINT: POSIX's name

namespace muster {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{120};
constexpr int kPodsAJob = 4;

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "operator_bench: {}\n", what);
  std::exit(1);
}

class OperatorProcess {
 public:
  OperatorProcess(const std::string& binary, const std::string& kubeconfig) {
    std::vector<std::string> words{binary,        "--kubeconfig",         kubeconfig, "--metrics-address",
                                   "127.0.0.1:0", "--operator-namespace", "default"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions{};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid_, binary.c_str(), &actions, nullptr, arguments.data(), environ) != 0) {
      die(fmt::format("cannot run {}; build it first", binary));
    }
    posix_spawn_file_actions_destroy(&actions);
  }
  ~OperatorProcess() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  // Of /proc/PID/status, in KiB.
  [[nodiscard]] long status_kib(const std::string& field) const {
    std::ifstream status(fmt::format("/proc/{}/status", pid_));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(field + ":")) return std::stol(line.substr(field.size() + 1));
    }
    return 0;
  }

 private:
  pid_t pid_ = -1;
};

// When each pod was first seen by a watch.
class PodTimes {
 public:
  void see(const std::string& job) {
    const std::lock_guard lock(mutex_);
    auto& [count, last] = pods_[job];
    ++count;
    last = steady_clock::now();
    changed_.notify_all();
  }
  // The instant of the job's last pod.
  steady_clock::time_point wait(const std::string& job) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return pods_[job].first >= kPodsAJob; })) {
      die(fmt::format("job {} has {} of {} pods after {} s", job, pods_[job].first, kPodsAJob,
                      kPatience.count()));
    }
    return pods_[job].second;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::pair<int, steady_clock::time_point>> pods_;
};

Json manifest(const std::string& name) {
  return {{"apiVersion", "muster.dev/v1alpha1"},
          {"kind", "DistributedJob"},
          {"metadata", {{"name", name}}},
          {"spec",
           {{"workers",
             {{"replicas", kPodsAJob},
              {"template",
               {{"spec",
                 {{"containers",
                   {{{"name", "worker"}, {"image", "debian:12"}, {"command", {"sleep", "60"}}}}}}}}}}}}}};
}

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
}

void round_of(kube::Client& client, PodTimes& times, int jobs, const OperatorProcess& process, int repeat) {
  std::vector<double> milliseconds;
  std::vector<std::string> names;
  for (int turn = 0; turn < repeat; ++turn) {
    std::map<std::string, steady_clock::time_point> applied;
    for (int i = 0; i < jobs; ++i) {
      const std::string name = fmt::format("bench-{}-{}-{}", jobs, turn, i);
      applied[name] = steady_clock::now();
      if (const auto made = client.create(kube::kDistributedJobs, "default", manifest(name)); !made) {
        die(made.error().message);
      }
      names.push_back(name);
    }
    for (const auto& [name, since] : applied) {
      milliseconds.push_back(std::chrono::duration<double, std::milli>(times.wait(name) - since).count());
    }
  }
  fmt::print(
      "{:5} jobs x {} pods: p50 {:8.1f} ms  p99 {:8.1f} ms   operator: RSS {:.1f} MiB (anonymous {:.1f}), {} "
      "threads\n",
      jobs, kPodsAJob, percentile(milliseconds, 0.5), percentile(milliseconds, 0.99),
      static_cast<double>(process.status_kib("VmRSS")) / 1024,
      static_cast<double>(process.status_kib("RssAnon")) / 1024, process.status_kib("Threads"));
  for (const std::string& name : names) {
    static_cast<void>(client.remove(kube::kDistributedJobs, "default", name,
                                    {.propagation = kube::Propagation::kBackground}));
    for (int i = 0; i < kPodsAJob; ++i) {
      static_cast<void>(client.remove(kube::kPods, "default", fmt::format("{}-worker-{}", name, i),
                                      {.grace = std::chrono::seconds(0)}));
    }
  }
}

void run(const std::string& kubeconfig, const std::string& binary) {
  const auto config = kube::load_cluster_config({.path = kubeconfig});
  if (!config) die(config.error().message);
  auto client = kube::make_client(*config);
  if (!client) die(client.error().message);
  PodTimes times;
  std::map<std::string, bool> seen;  // on the informer's thread only
  kube::Informer::Options options;
  options.label_selector = "app.kubernetes.io/managed-by=muster";
  options.on_change = [&](const kube::Object& pod, bool deleted) {
    if (deleted || !seen.emplace((*pod)["metadata"]["uid"].get<std::string>(), true).second) return;
    times.see((*pod)["metadata"]["labels"].value("muster.dev/job-name", ""));
  };
  kube::Informer pods(**client, kube::kPods, std::move(options));
  pods.start();
  if (!pods.wait_synced(deadline_after(kPatience))) die("the pods cannot be listed");
  const OperatorProcess process(binary, kubeconfig);
  round_of(**client, times, 1, process, 20);
  round_of(**client, times, 10, process, 5);
  round_of(**client, times, 100, process, 1);
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  std::string kubeconfig;
  std::string binary =
      (std::filesystem::canonical("/proc/self/exe").parent_path() / "muster-operator").string();
  CLI::App app("operator_bench: manifest applied -> all pods created, and the operator's memory");
  app.add_option("--kubeconfig", kubeconfig, "measure against this cluster; no other operator may run there");
  app.add_option("--operator", binary, "the operator's binary")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
#ifdef MUSTER_BENCH_LOCAL
  std::unique_ptr<muster::local::ApiServer> server;
  std::string folder;
  if (kubeconfig.empty()) {
    folder = (std::filesystem::temp_directory_path() / "muster-bench-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) muster::die("cannot make a temporary folder");
    muster::local::ApiServer::Options options;
    options.folder = folder;
    for (const char* name : {"muster.dev_distributedjobs.yaml", "muster.dev_federatedrounds.yaml"}) {
      std::ostringstream text;
      text << std::ifstream(std::filesystem::path(MUSTER_CRDS) / name).rdbuf();
      options.crds.push_back(text.str());
    }
    auto started = muster::local::ApiServer::start(std::move(options));
    if (!started) muster::die(started.error().message);
    server = std::move(*started);
    kubeconfig = server->kubeconfig_path().string();
  }
  muster::run(kubeconfig, binary);
  server.reset();
  if (!folder.empty()) std::filesystem::remove_all(folder);
#else
  if (kubeconfig.empty()) muster::die("this build has no embedded API server: give --kubeconfig");
  muster::run(kubeconfig, binary);
#endif
  return 0;
}
