// bench/operator/operator_bench.cc: manifest applied -> all pods created, for 1, 10, 100 and 1,000 jobs, with
// the operator's writes, CPU and memory
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
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "kube/cpprest_transport.h"
#include "kube/informer.h"
#ifdef MUSTER_BENCH_LOCAL
#include "bench/operator/slow_server.h"
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
  // User and system time that it has used.
  [[nodiscard]] double cpu_seconds() const {
    std::ifstream stat(fmt::format("/proc/{}/stat", pid_));
    std::string field;
    double ticks = 0;
    for (int i = 1; i <= 15 && stat >> field; ++i)
      if (i >= 14) ticks += std::stod(field);
    return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
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

enum class Program { kMusters, kUsers };

Json manifest(const std::string& name, Program program) {
  Json object{
      {"apiVersion", "muster.dev/v1alpha1"}, {"kind", "DistributedJob"}, {"metadata", {{"name", name}}}};
  Json& workers = object["spec"]["workers"] = {{"replicas", kPodsAJob}};
  if (program == Program::kMusters) {
    object["spec"]["training"] = {{"model", {{"name", "softmax"}}}, {"dataset", {{"name", "synthetic"}}}};
  } else {
    workers["template"]["spec"]["containers"] = {
        {{"name", "worker"}, {"image", "debian:12"}, {"command", {"sleep", "60"}}}};
  }
  return object;
}

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Bench {
  kube::Client& client;
  PodTimes& times;
  const OperatorProcess& process;
  // The operator's writes since the last call, where the server counts them.
  std::function<std::map<std::string, int>()> take_writes;
};

void remove_all(kube::Client& client, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    static_cast<void>(client.remove(kube::kDistributedJobs, "default", name,
                                    {.propagation = kube::Propagation::kBackground}));
    for (int i = 0; i < kPodsAJob; ++i) {
      static_cast<void>(client.remove(kube::kPods, "default", fmt::format("{}-worker-{}", name, i),
                                      {.grace = std::chrono::seconds(0)}));
    }
  }
}

// "8.0 writes a job (POST pods 4.0, ...)".
std::string writes_of(const std::map<std::string, int>& writes, int jobs) {
  double all = 0;
  std::string parts;
  for (const auto& [what, count] : writes) {
    if (what == "POST distributedjobs" || what.starts_with("DELETE ")) continue;  // ours
    const double each = static_cast<double>(count) / jobs;
    all += each;
    parts += fmt::format("{}{} {:.2f}", parts.empty() ? "" : ", ", what, each);
  }
  return fmt::format("{:.2f} writes a job ({})", all, parts);
}

void round_of(const Bench& bench, int jobs, int repeat, Program program) {
  std::vector<double> milliseconds;
  std::vector<std::string> names;
  double whole = 0;
  const double cpu = bench.process.cpu_seconds();
  static_cast<void>(bench.take_writes());
  for (int turn = 0; turn < repeat; ++turn) {
    std::map<std::string, steady_clock::time_point> applied;
    const auto began = steady_clock::now();
    for (int i = 0; i < jobs; ++i) {
      const std::string name =
          fmt::format("{}-{}-{}-{}", program == Program::kMusters ? "train" : "plain", jobs, turn, i);
      applied[name] = steady_clock::now();
      if (const auto made = bench.client.create(kube::kDistributedJobs, "default", manifest(name, program));
          !made)
        die(made.error().message);
      names.push_back(name);
    }
    auto last = began;
    for (const auto& [name, since] : applied) {
      const auto done = bench.times.wait(name);
      last = std::max(last, done);
      milliseconds.push_back(std::chrono::duration<double, std::milli>(done - since).count());
    }
    whole += std::chrono::duration<double>(last - began).count() / repeat;
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));  // for the status that says so, and for events
  fmt::print(
      "{:5} jobs x {} pods {}: all in {:6.2f} s, p50 {:7.1f} ms, p99 {:7.1f} ms; {:4.1f} ms CPU a job; RSS "
      "{:.1f} MiB "
      "(anonymous {:.1f}), {} threads\n      {}\n",
      jobs, kPodsAJob, program == Program::kMusters ? "(training)" : "(plain)   ", whole,
      percentile(milliseconds, 0.5), percentile(milliseconds, 0.99),
      (bench.process.cpu_seconds() - cpu) * 1000 / jobs / repeat,
      static_cast<double>(bench.process.status_kib("VmRSS")) / 1024,
      static_cast<double>(bench.process.status_kib("RssAnon")) / 1024, bench.process.status_kib("Threads"),
      writes_of(bench.take_writes(), jobs * repeat));
  std::fflush(stdout);
  remove_all(bench.client, names);
}

void run(const std::string& kubeconfig, const std::string& binary,
         const std::function<std::map<std::string, int>()>& take_writes) {
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
  const Bench bench{**client, times, process, take_writes};
  round_of(bench, 1, 20, Program::kUsers);
  round_of(bench, 10, 5, Program::kUsers);
  round_of(bench, 100, 1, Program::kUsers);
  round_of(bench, 1000, 1, Program::kUsers);
  round_of(bench, 1000, 1, Program::kMusters);
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  std::string kubeconfig;
  std::string binary =
      (std::filesystem::canonical("/proc/self/exe").parent_path() / "muster-operator").string();
  CLI::App app(
      "operator_bench: manifest applied -> all pods created, the operator's writes, CPU time and memory");
  app.add_option("--kubeconfig", kubeconfig, "measure against this cluster; no other operator may run there");
  app.add_option("--operator", binary, "the operator's binary")->capture_default_str();
#ifdef MUSTER_BENCH_LOCAL
  int delay_ms = 2;
  app.add_option("--write-delay-ms", delay_ms, "after which the embedded API server answers a write")
      ->capture_default_str();
#endif
  CLI11_PARSE(app, argc, argv);
#ifdef MUSTER_BENCH_LOCAL
  std::unique_ptr<muster::SlowServer> server;
  if (kubeconfig.empty()) {
    server = std::make_unique<muster::SlowServer>(std::chrono::milliseconds(delay_ms));
    kubeconfig = server->kubeconfig();
  }
  muster::run(kubeconfig, binary,
              [&] { return server ? server->take_writes() : std::map<std::string, int>(); });
#else
  if (kubeconfig.empty()) muster::die("this build has no embedded API server: give --kubeconfig");
  muster::run(kubeconfig, binary, [] { return std::map<std::string, int>(); });
#endif
  return 0;
}
