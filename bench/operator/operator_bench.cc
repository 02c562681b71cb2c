// bench/operator/operator_bench.cc: manifest applied -> all pods created, side by side with the cluster's
// other controllers; a failed pod -> its successors; a restart beside many running jobs; writes, CPU and
// memory
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "bench/operator/job_kinds.h"
#include "bench/operator/operator_process.h"
#include "bench/operator/pod_watch.h"
#include "common/base/rfc3339.h"
#include "common/json/access.h"
#include "kube/cpprest_transport.h"
#ifdef MUSTER_BENCH_LOCAL
#include "bench/operator/slow_server.h"
#endif

namespace muster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Writes = std::map<std::string, int>;

constexpr int kThreads = 8;  // that play users and kubelets
constexpr seconds kPatience{300};
constexpr milliseconds kLook{10};

double seconds_since(steady_clock::time_point since) {
  return std::chrono::duration<double>(steady_clock::now() - since).count();
}

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(p * static_cast<double>(values.size() - 1)))];
}

// Calls `work` for each of the words, from several threads.
void for_all(const std::vector<std::string>& words, const std::function<void(const std::string&)>& work) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (std::size_t each = next++; each < words.size(); each = next++) work(words[each]);
    });
  }
}

void wait_until(const std::string& what, const std::function<bool()>& holds) {
  const auto began = steady_clock::now();
  while (!holds()) {
    if (steady_clock::now() - began > kPatience)
      die(fmt::format("{}: not after {} s", what, kPatience.count()));
    std::this_thread::sleep_for(kLook);
  }
}

class Bench {
 public:
  // take_writes: what was written since its last call, where the server counts that.
  Bench(const std::string& kubeconfig, std::string binary, std::function<Writes()> take_writes)
      : kubeconfig_(kubeconfig), binary_(std::move(binary)), take_writes_(std::move(take_writes)) {
    const auto config = kube::load_cluster_config({.path = kubeconfig});
    if (!config) die(config.error().message);
    auto client = kube::make_client(*config);
    if (!client) die(client.error().message);
    client_ = *std::move(client);
    watch_ = std::make_unique<PodWatch>(*client_);
    start_operator();
  }

  // Controllers of others make pods on a real cluster only: the embedded API server has none of theirs.
  void compare() {
    for (JobKind& kind : jobs_of_others()) {
      if (!client_->list(kind.resource, kBenchNamespace, {.limit = 1})) continue;
      if (kind.runtime)
        if (const auto made = client_->create(*kind.runtime, kBenchNamespace, kind.runtime_manifest);
            !made && made.error().code != Code::kAlreadyExists)
          die(made.error().message);
      others_.push_back(std::move(kind));
    }
  }

  void run(int jobs_max) {
    wait_until("the operator serves its metrics", [&] {
      return operator_->metric("muster_jobs{") == 0 && operator_->metric("muster_build_info") > 0;
    });
    fmt::print("the operator alone: {}\n", operator_->memory());
    for (const auto& [jobs, turns] : {std::pair{1, 20}, {10, 5}, {50, 1}, {200, 1}, {1000, 1}}) {
      if (jobs > jobs_max) break;
      create_all(plain_jobs(), jobs, turns);
      for (const JobKind& other : others_) create_all(other, jobs, turns);
    }
    create_all(trainings(), jobs_max, 1);
    recover(20);
    restart(jobs_max);
    for (const JobKind& other : others_)
      if (other.runtime)
        static_cast<void>(
            client_->remove(*other.runtime, kBenchNamespace, meta_text(other.runtime_manifest, "name"), {}));
  }

 private:
  void start_operator() { operator_ = std::make_unique<OperatorProcess>(binary_, kubeconfig_); }

  void create(const JobKind& kind, const std::string& name) {
    if (const auto made = client_->create(kind.resource, kBenchNamespace, kind.manifest(name)); !made)
      die(made.error().message);
  }

  void remove(const JobKind& kind, const std::vector<std::string>& names) {
    for_all(names, [&](const std::string& name) {
      static_cast<void>(client_->remove(kind.resource, kBenchNamespace, name,
                                        {.propagation = kube::Propagation::kBackground}));
    });
    for_all(watch_->pods(), [&](const std::string& pod) {
      static_cast<void>(client_->remove(kube::kPods, kBenchNamespace, pod, {.grace = seconds(0)}));
    });
    watch_->wait_gone();
    static_cast<void>(take_writes_());
  }

  std::vector<std::string> named(const JobKind& kind, const std::string& middle, int jobs) {
    std::vector<std::string> names;
    names.reserve(static_cast<std::size_t>(jobs));
    for (int i = 0; i < jobs; ++i) names.push_back(fmt::format("{}-{}-{}", kind.prefix, middle, i));
    return names;
  }

  // "8.0 writes a job (POST pods 4.0, ...)"; nothing where nobody counts.
  std::string writes_of(int jobs) {
    double all = 0;
    std::string parts;
    for (const auto& [what, count] : take_writes_()) {
      if (what == "POST distributedjobs") continue;  // ours
      const double each = static_cast<double>(count) / jobs;
      all += each;
      parts += fmt::format("{}{} {:.2f}", parts.empty() ? "" : ", ", what, each);
    }
    return parts.empty() ? "" : fmt::format("; {:.2f} writes a job ({})", all, parts);
  }

  void create_all(const JobKind& kind, int jobs, int turns) {
    std::vector<double> each_ms;
    double whole = 0;
    const double cpu = operator_->cpu_seconds();
    std::string writes;
    for (int turn = 0; turn < turns; ++turn) {
      const auto names = named(kind, fmt::format("{}-{}", jobs, turn), jobs);
      std::map<std::string, steady_clock::time_point> applied;
      const auto began = steady_clock::now();
      for (const std::string& name : names) {
        applied[name] = steady_clock::now();
        create(kind, name);
      }
      auto last = began;
      for (const auto& [name, since] : applied) {
        const auto done = watch_->wait(name);
        last = std::max(last, done);
        each_ms.push_back(std::chrono::duration<double, std::milli>(done - since).count());
      }
      whole += std::chrono::duration<double>(last - began).count() / turns;
      if (turn == turns - 1) {
        std::this_thread::sleep_for(seconds(1));  // for the status that says so, and for events
        writes = writes_of(jobs);
      }
      if (turn < turns - 1) remove(kind, names);
    }
    fmt::print("{:4} jobs x {} pods, {:38} all in {:6.2f} s, p50 {:7.1f} ms, p99 {:7.1f} ms", jobs, kPodsAJob,
               kind.title + ":", whole, percentile(each_ms, 0.5), percentile(each_ms, 0.99));
    if (kind.resource == kube::kDistributedJobs) {
      fmt::print("; {:.1f} ms CPU a job, {}{}", (operator_->cpu_seconds() - cpu) * 1000 / jobs / turns,
                 operator_->memory(), writes);
    }
    fmt::print("\n");
    std::fflush(stdout);
    remove(kind, named(kind, fmt::format("{}-{}", jobs, turns - 1), jobs));
  }

  // What a kubelet would tell of the pod's container.
  void tell(const std::string& pod, const char* phase, Json state) {
    const bool runs = std::string_view(phase) == "Running";
    const Json status{{"phase", phase},
                      {"podIP", "127.0.0.1"},
                      {"conditions", {{{"type", "Ready"}, {"status", runs ? "True" : "False"}}}},
                      {"containerStatuses",
                       {{{"name", "worker"},
                         {"ready", runs},
                         {"restartCount", 0},
                         {"image", "i"},
                         {"imageID", ""},
                         {"state", std::move(state)}}}}};
    const auto told = client_->patch(kube::kPods, kBenchNamespace, pod, kube::PatchType::kMerge,
                                     {{"status", status}}, {.subresource = "status"});
    if (!told && told.error().code != Code::kNotFound) die(told.error().message);
  }
  void tell_running(const std::vector<std::string>& pods) {
    const std::string now = rfc3339(std::chrono::system_clock::now());
    for_all(pods, [&](const std::string& pod) { tell(pod, "Running", {{"running", {{"startedAt", now}}}}); });
  }
  [[nodiscard]] bool run_all(int jobs) const {
    return operator_->metric(R"(muster_jobs{kind="DistributedJob",phase="Running"})") >= jobs;
  }

  void recover(int jobs) {
    const JobKind kind = plain_jobs();
    const auto names = named(kind, "fails", jobs);
    for (const std::string& name : names) create(kind, name);
    for (const std::string& name : names) watch_->wait(name);
    tell_running(watch_->pods());
    wait_until("the jobs run", [&] { return run_all(jobs); });
    std::vector<double> each_ms;
    for (const std::string& name : names) {
      const std::string now = rfc3339(std::chrono::system_clock::now());
      const auto began = steady_clock::now();
      tell(watch_->pods_of(name).front(), "Failed",
           {{"terminated", {{"exitCode", 1}, {"reason", "Error"}, {"startedAt", now}, {"finishedAt", now}}}});
      each_ms.push_back(
          std::chrono::duration<double, std::milli>(watch_->wait(name, 2 * kPodsAJob) - began).count());
    }
    fmt::print(
        "a pod fails -> all {} are made anew: p50 {:.1f} ms, p99 {:.1f} ms ({} jobs, one after another)\n",
        kPodsAJob, percentile(each_ms, 0.5), percentile(each_ms, 0.99), jobs);
    std::fflush(stdout);
    remove(kind, names);
  }

  void restart(int jobs) {
    const JobKind kind = plain_jobs();
    const auto names = named(kind, "runs", jobs);
    for_all(names, [&](const std::string& name) { create(kind, name); });
    for (const std::string& name : names) watch_->wait(name);
    tell_running(watch_->pods());
    wait_until("the jobs run", [&] { return run_all(jobs); });
    fmt::print("{} running jobs, {} pods: {}; CPU of a pass p50 {:.2f} ms, p99 {:.2f} ms\n", jobs,
               jobs * kPodsAJob, operator_->memory(),
               operator_->quantile("muster_reconcile_cpu_seconds", 0.5) * 1000,
               operator_->quantile("muster_reconcile_cpu_seconds", 0.99) * 1000);
    operator_.reset();
    static_cast<void>(take_writes_());
    const auto began = steady_clock::now();
    start_operator();
    wait_until("its caches are filled", [&] { return operator_->ready(); });
    const double filled = seconds_since(began);
    wait_until("a pass over each job", [&] {
      return operator_->metric(R"(controller_runtime_reconcile_total{controller="distributedjob")") >= jobs;
    });
    const double took = seconds_since(began);
    std::this_thread::sleep_for(seconds(3));
    int writes = 0;
    for (const auto& [what, count] : take_writes_()) writes += count;
    fmt::print(
        "the operator anew beside them: caches in {:.2f} s, and a pass over each in {:.2f} s; {} writes; "
        "{}\n",
        filled, took, writes, operator_->memory());
    std::fflush(stdout);
    remove(kind, names);
  }

  const std::string kubeconfig_, binary_;
  const std::function<Writes()> take_writes_;
  std::unique_ptr<kube::Client> client_;
  std::vector<JobKind> others_;
  std::unique_ptr<PodWatch> watch_;
  std::unique_ptr<OperatorProcess> operator_;
};

}  // namespace
}  // namespace muster

int main(int argc, char** argv) try {
  std::string kubeconfig;
  std::string binary =
      (std::filesystem::canonical("/proc/self/exe").parent_path() / "muster-operator").string();
  int jobs = 0;
  CLI::App app(
      "operator_bench: how fast the operator makes pods, notices failures and takes over; against a cluster "
      "of "
      "yours the same of batch/v1 Jobs, and of JobSets and TrainJobs where their controllers are installed");
  app.add_option("--kubeconfig", kubeconfig, "measure against this cluster; no other operator may run there");
  app.add_option("--operator", binary, "the operator's binary")->capture_default_str();
  app.add_option("--jobs", jobs, "the largest number of jobs; default: 1000, 200 with --kubeconfig")
      ->check(CLI::Range(1, 10'000));
#ifdef MUSTER_BENCH_LOCAL
  int delay_ms = 2;
  app.add_option("--write-delay-ms", delay_ms, "after which the embedded API server answers a write")
      ->capture_default_str();
#endif
  CLI11_PARSE(app, argc, argv);
  if (jobs == 0) jobs = kubeconfig.empty() ? 1000 : 200;
  std::function<muster::Writes()> take_writes = [] { return muster::Writes(); };
  const bool real = !kubeconfig.empty();
#ifdef MUSTER_BENCH_LOCAL
  std::unique_ptr<muster::SlowServer> server;
  if (!real) {
    server = std::make_unique<muster::SlowServer>(std::chrono::milliseconds(delay_ms));
    kubeconfig = server->kubeconfig();
    take_writes = [&server] { return server->take_writes(); };
  }
#else
  if (!real) muster::die("this build has no embedded API server: give --kubeconfig");
#endif
  muster::Bench bench(kubeconfig, binary, take_writes);
  if (real) bench.compare();
  bench.run(jobs);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "operator_bench: %s\n", error.what());
  return 1;
}
