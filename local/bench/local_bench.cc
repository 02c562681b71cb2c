// local/bench/local_bench.cc: what `muster local up` takes: start-up, creates, lists, watches, memory. There
// is no peer to put beside it: no other API server runs without a cluster's etcd.
#include <fmt/format.h>
#include <sys/resource.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <thread>

#include "local/bench/server_process.h"
#include "local/bench/watchers.h"

namespace muster::bench {
namespace {

using testing::HttpsClient;
using testing::HttpsTarget;
using Milliseconds = std::chrono::duration<double, std::milli>;
using std::chrono::steady_clock;

constexpr const char* kPods = "/api/v1/namespaces/default/pods";

struct Options {
  std::string muster;
  std::size_t objects = 10'000;
  std::size_t connections = 4;
  std::size_t watchers = 100;
  std::size_t writes = 500;  // of the latency round, one every `every`
  std::chrono::milliseconds every{10};
  int rounds = 5;
};

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(p * static_cast<double>(values.size() - 1)))];
}

double own_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Pods of a scheduler that nobody runs: they are stored, listed and watched, and no process starts.
std::string pod(const std::string& prefix, std::size_t number) {
  return fmt::format(
      R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{0}-{1:06}","labels":{{"app":"bench","tier":"load"}}}},)"
      R"("spec":{{"schedulerName":"nobody","restartPolicy":"Never","containers":[{{"name":"main","image":"debian:12",)"
      R"("command":["sleep","60"],"env":[{{"name":"NUMBER","value":"{1}"}},{{"name":"MODE","value":"bench"}}],)"
      R"("resources":{{"requests":{{"cpu":"10m","memory":"16Mi"}}}},"ports":[{{"containerPort":8080}}]}}]}}}})",
      prefix, number);
}

HttpsClient connect(const HttpsTarget& target) {
  auto client = HttpsClient::connect(target);
  if (!client) die(client.error().message);
  return std::move(*client);
}

std::string get(HttpsClient& client, const std::string& path) {
  auto answer = client.request("GET", path);
  if (!answer) die(answer.error().message);
  if (answer->status != 200) die(fmt::format("GET {}: {}", path, answer->body));
  return std::move(answer->body);
}

void create(HttpsClient& client, const std::string& body) {
  const auto answer = client.request("POST", kPods, body);
  if (!answer) die(answer.error().message);
  if (answer->status != 201) die("create: " + answer->body);
}

// Creates `count` pods over `connections` kept-alive connections; prints the rate and what both sides took.
double create_all(const ServerProcess& server, const HttpsTarget& target, const std::string& prefix,
                  std::size_t count, std::size_t connections, const char* what) {
  std::vector<HttpsClient> clients;
  for (std::size_t i = 0; i < connections; ++i) clients.push_back(connect(target));
  std::atomic<std::size_t> next{0};
  std::vector<std::vector<double>> times(connections);
  const double server_before = server.cpu_seconds();
  const double own_before = own_cpu_seconds();
  const auto begin = steady_clock::now();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < connections; ++i)
    threads.emplace_back([&, i] {
      for (std::size_t number = next++; number < count; number = next++) {
        const std::string body = pod(prefix, number);
        const auto sent = steady_clock::now();
        create(clients[i], body);
        times[i].push_back(Milliseconds(steady_clock::now() - sent).count());
      }
    });
  for (std::thread& thread : threads) thread.join();
  const double seconds = Milliseconds(steady_clock::now() - begin).count() / 1000;
  const double server_cpu = server.cpu_seconds() - server_before;
  const double own_cpu = own_cpu_seconds() - own_before;
  std::vector<double> all;
  for (const auto& some : times) all.insert(all.end(), some.begin(), some.end());
  const double rate = static_cast<double>(count) / seconds;
  fmt::print(
      "{:28} {:7.0f}/s   p50 {:6.2f} ms  p99 {:6.2f} ms   cores: server {:.2f}, client {:.2f} ({:.0f} %)\n",
      what, rate, percentile(all, 0.5), percentile(all, 0.99), server_cpu / seconds, own_cpu / seconds,
      100 * own_cpu / (own_cpu + server_cpu));
  return rate;
}

void list_in_pages(const HttpsTarget& target, std::size_t expected) {
  HttpsClient client = connect(target);
  std::vector<double> milliseconds;
  std::size_t pages = 0;
  std::size_t bytes = 0;
  for (int turn = 0; turn < 5; ++turn) {
    std::size_t found = 0;
    std::string next;
    pages = bytes = 0;
    const auto begin = steady_clock::now();
    do {
      const std::string page =
          get(client, fmt::format("{}?limit=500{}", kPods, next.empty() ? "" : "&continue=" + next));
      bytes += page.size();
      ++pages;
      for (std::size_t at = page.find("\"uid\":"); at != std::string::npos;
           at = page.find("\"uid\":", at + 1))
        ++found;
      const std::string mark = "\"continue\":\"";
      const auto at = page.rfind(mark);
      next = at == std::string::npos
                 ? ""
                 : page.substr(at + mark.size(), page.find('"', at + mark.size()) - at - mark.size());
    } while (!next.empty());
    milliseconds.push_back(Milliseconds(steady_clock::now() - begin).count());
    if (found != expected) die(fmt::format("the pages held {} pods, not {}", found, expected));
  }
  const double median = percentile(milliseconds, 0.5);
  fmt::print("{:28} {:7.1f} ms  {} pages, {:.1f} MB, {:.0f} MB/s\n",
             fmt::format("list of {} in pages", expected), median, pages, static_cast<double>(bytes) / 1e6,
             static_cast<double>(bytes) / 1e3 / median);
}

// A watch of all pods from now on.
std::string watch_path(HttpsClient& client) {
  const std::string list = get(client, std::string(kPods) + "?limit=1");
  const std::string mark = "\"resourceVersion\":\"";
  const auto at = list.rfind(mark) + mark.size();
  return fmt::format("{}?watch=true&resourceVersion={}", kPods, list.substr(at, list.find('"', at) - at));
}

// From the answer to the write, at its writer, to the event, at each of the watchers.
void watch_latency(const ServerProcess& server, const HttpsTarget& target, const Options& options) {
  HttpsClient writer = connect(target);
  std::vector<double> p50s, p99s;
  for (int round = 0; round < options.rounds; ++round) {
    const std::string prefix = fmt::format("lat{}", round);
    const std::string path = watch_path(writer);
    Watchers watchers(target, path, "\"name\":\"" + prefix + "-", options.watchers, options.writes);
    std::vector<Time> answered(options.writes);
    const double server_before = server.cpu_seconds();
    const double own_before = own_cpu_seconds();
    const auto begin = steady_clock::now();
    for (std::size_t i = 0; i < options.writes; ++i) {
      std::this_thread::sleep_until(begin + i * options.every);
      create(writer, pod(prefix, i));
      answered[i] = steady_clock::now();
    }
    if (!watchers.wait(options.writes, std::chrono::seconds(30))) die("not every watcher saw every event");
    const double seconds = Milliseconds(steady_clock::now() - begin).count() / 1000;
    std::vector<double> latencies;
    for (std::size_t who = 0; who < watchers.count(); ++who)
      for (std::size_t i = 0; i < options.writes; ++i)
        latencies.push_back(std::max(0.0, Milliseconds(watchers.seen(who, i) - answered[i]).count()));
    p50s.push_back(percentile(latencies, 0.5));
    p99s.push_back(percentile(latencies, 0.99));
    fmt::print(
        "  {} watchers, {:.0f} writes/s: p50 {:.2f} ms  p99 {:.2f} ms  max {:.2f} ms   cores: server {:.2f}, "
        "client {:.2f}\n",
        options.watchers, static_cast<double>(options.writes) / seconds, p50s.back(), p99s.back(),
        percentile(latencies, 1), (server.cpu_seconds() - server_before) / seconds,
        (own_cpu_seconds() - own_before) / seconds);
  }
  fmt::print("{:28} p50 {:.2f} ms  p99 {:.2f} ms  (medians of {} rounds)\n", "write -> event",
             percentile(p50s, 0.5), percentile(p99s, 0.5), options.rounds);
}

void flood(const ServerProcess& server, const HttpsTarget& target, const Options& options) {
  const std::size_t count = options.objects / 5;
  HttpsClient client = connect(target);
  Watchers watchers(target, watch_path(client), "\"name\":\"flood-", options.watchers, count);
  const auto begin = steady_clock::now();
  create_all(server, target, "flood", count, options.connections,
             fmt::format("creates, {} watchers", options.watchers).c_str());
  if (!watchers.wait(count, std::chrono::seconds(60))) die("not every watcher saw every event");
  const double seconds = Milliseconds(steady_clock::now() - begin).count() / 1000;
  fmt::print("{:28} {:7.0f}/s delivered, all within {:.2f} s\n", "events",
             static_cast<double>(count * options.watchers) / seconds, seconds);
}

void start_up(const Options& options) {
  std::vector<double> milliseconds;
  milliseconds.reserve(static_cast<std::size_t>(options.rounds));
  for (int i = 0; i < options.rounds; ++i)
    milliseconds.push_back(ServerProcess(options.muster).start_time().count());
  fmt::print("{:28} {:7.1f} ms (median of {}; {:.1f} to {:.1f})\n", "start-up to ready",
             percentile(milliseconds, 0.5), options.rounds, percentile(milliseconds, 0),
             percentile(milliseconds, 1));
}

void run(const Options& options) {
  start_up(options);
  std::vector<double> rates;
  std::optional<ServerProcess> server;
  HttpsTarget target;
  for (int round = 0; round < options.rounds; ++round) {
    server.reset();
    server.emplace(options.muster);
    auto found = testing::https_target(server->kubeconfig());
    if (!found) die(found.error().message);
    target = *found;
    {  // what the first write of all sets up is not an object's
      HttpsClient warm = connect(target);
      create(warm, pod("warm", 0));
    }
    const double before = server->anonymous_bytes();
    rates.push_back(create_all(*server, target, "pod", options.objects, options.connections, "creates"));
    const double each = (server->anonymous_bytes() - before) / static_cast<double>(options.objects);
    HttpsClient client = connect(target);
    const double text = static_cast<double>(get(client, std::string(kPods) + "/pod-000001").size());
    fmt::print("  memory: {:.0f} bytes an object of {:.0f} bytes as JSON: {:.0f} beside it; RSS {:.1f} MiB\n",
               each, text, each - text, server->rss_bytes() / 1048576);
  }
  fmt::print("{:28} {:7.0f}/s (median of {})\n", "creates", percentile(rates, 0.5), options.rounds);
  list_in_pages(target, options.objects + 1);
  watch_latency(*server, target, options);
  flood(*server, target, options);
}

}  // namespace
}  // namespace muster::bench

int main(int argc, char** argv) try {
  muster::bench::Options options;
  options.muster = (std::filesystem::canonical("/proc/self/exe").parent_path() / "muster").string();
  int every_ms = 10;
  CLI::App app("local_bench: the embedded control plane under load");
  app.add_option("--muster", options.muster, "the program to measure")->capture_default_str();
  app.add_option("--objects", options.objects, "pods to create")->capture_default_str();
  app.add_option("--connections", options.connections, "that create them")->capture_default_str();
  app.add_option("--watchers", options.watchers, "watches of all pods")->capture_default_str();
  app.add_option("--writes", options.writes, "of a latency round")->capture_default_str();
  app.add_option("--every-ms", every_ms, "between two of these writes")->capture_default_str();
  app.add_option("--rounds", options.rounds, "of each measurement")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.every = std::chrono::milliseconds(every_ms);
  std::signal(SIGPIPE, SIG_IGN);
  muster::bench::run(options);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "local_bench: %s\n", error.what());
  return 1;
}
