// bench/aggregator/memory_bench.cc: peak memory of an aggregator beside its bound: the real coordinator and
// server in a process of their own, clients on loopback, checkpoints written and models evaluated
#include <grpcpp/grpcpp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/federation_service.h"
#include "aggregator/store/round_store.h"
#include "learning/sha256.h"
#include "proto/federation.grpc.pb.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_pki.h"

namespace {

using namespace std::chrono_literals;
using namespace muster;
using Stub = federation::v1::Federation::Stub;

constexpr double kMiB = 1024.0 * 1024.0;
constexpr std::size_t kParameters = std::size_t{64} << 20;  // 256 MiB
constexpr double kModelBytes = kParameters * sizeof(float);
constexpr double kProcessBytes = 32 * kMiB;  // libraries, threads, sessions of TLS

struct Case {
  int clients;
  int pods;  // each with a connection of its own
  int rounds;
};
struct Report {
  double peak = 0;     // bytes: RssAnon + RssShmem
  double uploads = 0;  // of which room that uploads had taken
  double room = 0;     // for uploads in all
};

// RssAnon + RssShmem: what the kernel cannot take back, other than pages of files.
double resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  double kib = 0;
  while (std::getline(status, line)) {
    if (line.starts_with("RssAnon:") || line.starts_with("RssShmem:")) kib += std::atof(line.c_str() + 9);
  }
  return kib * 1024.0;
}

// The aggregator's process: tells its port, serves until the federation is over, tells its peak.
void serve(const Case& what, const TestPki& pki, int to_parent) {
  const TemporaryFolder folder;
  agg::CoordinatorOptions options;
  options.federation.rounds = what.rounds;
  options.federation.clients = what.clients;
  options.federation.clients_per_pod = what.clients / what.pods;
  options.federation.cohort = {.size = what.clients, .over_selection = 1.0, .minimum = what.clients};
  options.federation.storage_path = folder.path().string();
  options.report_deadline = 3600s;
  const std::vector<learning::Tensor> tensors{
      {.name = "weight", .shape = {kParameters}, .offset = 0, .size = kParameters}};
  agg::RoundStore store(options.federation, tensors);
  agg::CoordinatorPorts ports;
  ports.save = [&](const agg::RoundView& round) { return store.commit(round); };
  ports.evaluate = [](std::span<const float> values, std::int64_t /*round*/) {
    return learning::Evaluation{.loss = static_cast<double>(values.front()), .accuracy = 0.5};
  };
  agg::CommittedRound start;
  start.parameters.assign(kParameters, 0.0F);
  agg::AggregatorMetrics metrics;
  agg::Coordinator coordinator(std::move(options), std::move(ports),
                               std::move(*agg::make_strategy({}, kParameters)), std::move(start), metrics);
  auto server = agg::FederationServer::start(
      {.ip = "127.0.0.1", .port = 0, .credentials = pki.of_pod("aggregator", 0, "bench")}, coordinator);
  if (!server) std::_Exit(1);
  const int port = (*server)->port();
  if (write(to_parent, &port, sizeof port) != sizeof port) std::_Exit(1);
  const std::uint64_t room = coordinator.upload_room();
  Report report{.room = static_cast<double>(room)};
  while (!coordinator.wait_outcome(1ms)) {
    const auto uploads = static_cast<double>(room - coordinator.upload_room());
    const double now = resident_bytes();
    if (now <= report.peak) continue;
    report.peak = now;
    report.uploads = uploads;
  }
  coordinator.wait_dismissed(5s);
  if (write(to_parent, &report, sizeof report) != sizeof report) std::_Exit(1);
}

void download(Stub& stub, const std::string& task_id) {
  grpc::ClientContext context;
  federation::v1::DownloadRequest request;
  request.set_task_id(task_id);
  auto reader = stub.Download(&context, request);
  federation::v1::Chunk chunk;
  while (reader->Read(&chunk)) {
  }
  if (!reader->Finish().ok()) std::fprintf(stderr, "a download failed\n");
}

grpc::Status upload(Stub& stub, const std::string& task_id, const std::string& chunk,
                    const std::string& sha256) {
  grpc::ClientContext context;
  federation::v1::UploadReply reply;
  auto writer = stub.Upload(&context, &reply);
  federation::v1::UploadRequest request;
  request.mutable_header()->set_task_id(task_id);
  request.mutable_header()->set_examples(1);
  request.mutable_header()->set_update_bytes(kParameters * sizeof(float));
  request.mutable_header()->set_update_sha256(sha256);
  bool writing = writer->Write(request);
  for (std::size_t at = 0; writing && at < kParameters * sizeof(float); at += chunk.size()) {
    request.mutable_chunk()->set_offset(at);
    *request.mutable_chunk()->mutable_data() = chunk;
    writing = writer->Write(request);
  }
  writer->WritesDone();
  return writer->Finish();
}

void play(Stub& stub, int client, const std::string& chunk, const std::string& sha256) {
  while (true) {
    grpc::ClientContext context;
    federation::v1::CheckInRequest request;
    request.set_client(client);
    request.set_hold_ms(60'000);
    federation::v1::CheckInReply reply;
    if (!stub.CheckIn(&context, request, &reply).ok() || reply.has_done()) return;
    if (!reply.has_task()) continue;
    download(stub, reply.task().task_id());
    while (upload(stub, reply.task().task_id(), chunk, sha256).error_code() ==
           grpc::StatusCode::RESOURCE_EXHAUSTED) {
      std::this_thread::sleep_for(100ms);
    }
  }
}

bool measure(const Case& what, const std::string& chunk, const std::string& sha256) {
  const TestPki pki;
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    serve(what, pki, pipe_ends[1]);
    std::_Exit(0);
  }
  int port = 0;
  if (read(pipe_ends[0], &port, sizeof port) != sizeof port) std::abort();
  const auto begin = std::chrono::steady_clock::now();
  // In a process of its own as well: gRPC does not survive a fork.
  const pid_t clients = fork();
  if (clients == 0) {
    std::vector<std::unique_ptr<Stub>> stubs;
    stubs.reserve(static_cast<std::size_t>(what.pods));
    for (int pod = 0; pod < what.pods; ++pod) {
      stubs.push_back(federation::v1::Federation::NewStub(TestPki::channel(
          "127.0.0.1:" + std::to_string(port), {.role = "aggregator", .index = 0, .uid = "bench"},
          pki.of_pod("client", pod, "bench"))));
    }
    std::vector<std::thread> threads;
    for (int client = 0; client < what.clients; ++client) {
      Stub& stub = *stubs[static_cast<std::size_t>(client * what.pods / what.clients)];
      threads.emplace_back([&, client] { play(stub, client, chunk, sha256); });
    }
    for (std::thread& thread : threads) thread.join();
    std::_Exit(0);
  }
  Report report;
  if (read(pipe_ends[0], &report, sizeof report) != sizeof report) std::abort();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  waitpid(child, nullptr, 0);
  waitpid(clients, nullptr, 0);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  const double bound = 2 * kModelBytes + report.room + agg::kDownloadMemory + kProcessBytes;
  std::printf("%8d %6d %7d %10.0f %10.0f %8.2f %12.0f %12.2f %10.0f %8.1f\n", what.clients, what.pods,
              what.rounds, kModelBytes / kMiB, report.peak / kMiB, report.peak / kModelBytes,
              report.uploads / kMiB, (report.peak - report.uploads) / kModelBytes, bound / kMiB, seconds);
  std::fflush(stdout);
  return report.peak <= bound;
}

}  // namespace

int main() {
  const std::string chunk(512 << 10, '\0');
  learning::Sha256 sha256;
  for (std::size_t at = 0; at < kParameters * sizeof(float); at += chunk.size())
    sha256.update(std::as_bytes(std::span(chunk)));
  std::puts(
      "peak of RssAnon + RssShmem; \"uploads\" is what updates on their way in took of it; the bound: two "
      "models, the room of uploads, the chunks of downloads and 32 MiB for the process");
  std::printf("%8s %6s %7s %10s %10s %8s %12s %12s %10s %8s\n", "clients", "pods", "rounds", "model MiB",
              "peak MiB", "/ model", "uploads MiB", "rest / model", "bound MiB", "seconds");
  bool bounded = true;
  for (const Case what : {Case{1, 1, 3}, Case{64, 1, 1}, Case{64, 64, 1}})
    bounded = measure(what, chunk, sha256.hex()) && bounded;
  if (!bounded) std::puts("a peak is above its bound");
  return bounded ? 0 : 1;
}
