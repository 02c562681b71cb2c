// bench/aggregator/ingest_bench.cc: updates that the real muster-aggregator takes and acknowledges as
// durable, and the rounds that it makes of nothing, beside what TLS, gRPC and the disk can do in the same run
//   ingest_bench [--json FILE]   TMPDIR: the disk that is measured
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "bench/aggregator/real_federation.h"

namespace {

using namespace muster;  // NOLINT: a program of one file
using std::chrono::steady_clock;

constexpr std::int32_t kClients = 64;
constexpr std::int64_t kModelBytes = std::int64_t{1} << 20;
constexpr int kRounds = 7;
constexpr std::int32_t kSmallClients = 10;
constexpr int kSmallRounds = 100;
constexpr double kGiga = 1e9;
constexpr double kIngestGoal = 0.8;
constexpr double kOverheadGoal = 20e-3;  // or as long as this many syncs take
constexpr double kSyncs = 4;

// Takes uploads and forgets them: the same messages over the same TLS, with nothing done.
class Sink final : public federation::v1::Federation::Service {
  grpc::Status Upload(grpc::ServerContext* /*context*/, grpc::ServerReader<UploadRequest>* reader,
                      UploadReply* reply) override {
    UploadRequest request;
    while (reader->Read(&request)) {
    }
    reply->set_verdict(UploadReply::ACCEPTED);
    return grpc::Status::OK;
  }
};

// In a process of its own, as the aggregator is; it ends when the pipe does.
void serve_sink(int to_parent, int from_parent, const Credentials& credentials) {
  Sink sink;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", credentials.for_server(), &port);
  builder.RegisterService(&sink);
  const auto server = builder.BuildAndStart();
  if (write(to_parent, &port, sizeof port) != sizeof port) std::_Exit(1);
  char end = 0;
  std::ignore = read(from_parent, &end, 1);
  std::_Exit(0);
}

struct SinkProcess {
  int port = 0;
  pid_t pid = 0;
  int hold = -1;
};

SinkProcess start_sink() {
  int told[2];
  int held[2];
  if (pipe2(told, O_CLOEXEC) != 0 || pipe2(held, O_CLOEXEC) != 0) std::abort();
  SinkProcess sink;
  const Credentials credentials = shared_test_pki().of_pod("aggregator", 0, "bench");
  sink.pid = fork();  // before this process has a thread of gRPC's
  if (sink.pid == 0) {
    close(held[1]);
    serve_sink(told[1], held[0], credentials);
  }
  close(held[0]);
  sink.hold = held[1];
  if (read(told[0], &sink.port, sizeof sink.port) != sizeof sink.port) std::abort();
  return sink;
}

// Median seconds of fdatasync after a write of 4 KiB; and of all `bytes` written and synced one update after
// another.
double sync_seconds(const std::filesystem::path& folder) {
  const std::string path = (folder / "sync").string();
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const std::string block(4096, 'x');
  std::vector<double> seconds;
  for (int i = 0; i < 200; ++i) {
    if (write(file, block.data(), block.size()) < 0) std::abort();
    const auto begin = steady_clock::now();
    if (fdatasync(file) != 0) std::abort();
    seconds.push_back(seconds_since(begin));
  }
  close(file);
  unlink(path.c_str());
  return median(seconds);
}

double write_seconds(const std::filesystem::path& folder, std::span<const float> update) {
  const std::string path = (folder / "writes").string();
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const auto begin = steady_clock::now();
  for (std::int32_t i = 0; i < kClients; ++i) {
    const auto bytes = std::as_bytes(update);
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t wrote = write(file, bytes.data() + at, bytes.size() - at);
      if (wrote <= 0) std::abort();
      at += static_cast<std::size_t>(wrote);
    }
    if (fdatasync(file) != 0) std::abort();
  }
  const double seconds = seconds_since(begin);
  close(file);
  unlink(path.c_str());
  return seconds;
}

void must_accept(const grpc::Status& status, const UploadReply& reply) {
  if (status.ok() && reply.verdict() == UploadReply::ACCEPTED) return;
  fmt::print(stderr, "an update was not accepted: {} {}\n", status.error_message(), reply.reason());
  std::exit(1);
}

// As a device does that is told to come back: on a machine that is busy, a call may begin before the server
// has counted the end of the one before.
grpc::Status patiently(const std::function<grpc::Status()>& call) {
  grpc::Status status;
  do {
    status = call();
  } while (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
           status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  return status;
}

nlohmann::json ingest(const SinkProcess& sink) {
  const RealFederation aggregator(federation_of(kClients, kModelBytes, kRounds));
  std::vector<std::unique_ptr<FederationStub>> bare;
  for (std::int64_t pod = 0; pod * aggregator.federation().clients_per_pod < kClients; ++pod)
    bare.push_back(federation_stub(fmt::format("127.0.0.1:{}", sink.port), "bench",
                                   shared_test_pki().of_pod("client", pod, "bench")));
  std::vector<double> durable;
  std::vector<double> stream;
  std::vector<double> writes;
  std::vector<float> update;
  UploadHeader header;
  while (true) {  // the three take turns
    const auto tasks = aggregator.begin_round();
    if (tasks.empty()) break;
    if (update.empty()) {
      update.assign(tasks[0].model_bytes() / sizeof(float), 1e-3F);
      header = header_of(tasks[0], update);
    }
    const auto send_all = [&](const std::function<FederationStub&(std::int32_t)>& stub) {
      const auto begin = steady_clock::now();
      side_by_side(kClients, [&](std::int32_t client) {
        UploadHeader own = header;
        own.set_task_id(tasks[static_cast<std::size_t>(client)].task_id());
        UploadReply reply;
        const grpc::Status status = patiently([&] { return upload(stub(client), own, update, reply); });
        must_accept(status, reply);
      });
      return seconds_since(begin);
    };
    stream.push_back(send_all([&](std::int32_t client) -> FederationStub& {
      return *bare[static_cast<std::size_t>(client / aggregator.federation().clients_per_pod)];
    }));
    writes.push_back(write_seconds(aggregator.folder(), update));
    durable.push_back(
        send_all([&](std::int32_t client) -> FederationStub& { return aggregator.stub_of(client); }));
  }
  const double giga = static_cast<double>(update.size() * sizeof(float)) * kClients / kGiga;
  const double took = giga / median(durable);
  const double wire = giga / median(stream);
  const double disk = giga / median(writes);
  const double share = took / std::min(wire, disk);
  fmt::print(
      "{} clients send {:.1f} MB each at once; medians of {} rounds, GB/s\n"
      "{:>26} {:>26} {:>30} {:>8}\n{:>26.3f} {:>26.3f} {:>30.3f} {:>8.2f}\n",
      kClients, static_cast<double>(update.size() * sizeof(float)) / 1e6, durable.size(),
      "acknowledged as durable", "bare gRPC streams over TLS", "sequential durable writes", "ratio", took,
      wire, disk, share);
  return {{"clients", kClients}, {"bytes", update.size() * sizeof(float)},
          {"durable", took},     {"stream", wire},
          {"writes", disk},      {"ratio", share},
          {"goal", kIngestGoal}, {"met", share >= kIngestGoal}};
}

nlohmann::json overhead() {
  const RealFederation aggregator(federation_of(kSmallClients, 0, kSmallRounds));
  std::vector<double> rounds;
  std::vector<std::vector<float>> updates(kSmallClients);
  auto begin = steady_clock::now();
  while (true) {
    const auto tasks = aggregator.begin_round();
    const double took = seconds_since(begin);
    if (tasks.empty()) break;
    rounds.push_back(took);
    begin = steady_clock::now();
    side_by_side(kSmallClients, [&](std::int32_t client) {
      const auto at = static_cast<std::size_t>(client);
      FederationStub& stub = aggregator.stub_of(client);
      const grpc::Status down = patiently([&] { return download(stub, tasks[at].task_id(), &updates[at]); });
      if (!down.ok()) {
        fmt::print(stderr, "a download failed: {}\n", down.error_message());
        std::exit(1);
      }
      for (float& value : updates[at]) value = 1e-3F;  // what it was not trained to
      UploadReply reply;
      const UploadHeader header = header_of(tasks[at], updates[at]);
      const grpc::Status status = patiently([&] { return upload(stub, header, updates[at], reply); });
      must_accept(status, reply);
    });
  }
  rounds.erase(rounds.begin());  // from the start to the first
  const double sync = sync_seconds(aggregator.folder());
  const double p50 = median(rounds);
  const double goal = std::max(kOverheadGoal, kSyncs * sync);
  fmt::print(
      "\n{} clients that train nothing, {} rounds: check-in, download, upload, model, checkpoint\n"
      "{:>14} {:>18} {:>10}\n{:>14.2f} {:>18.2f} {:>10.2f}\n",
      kSmallClients, rounds.size(), "round p50, ms", "an fdatasync, ms", "goal, ms", 1e3 * p50, 1e3 * sync,
      1e3 * goal);
  return {{"clients", kSmallClients},
          {"round_p50_s", p50},
          {"fdatasync_s", sync},
          {"goal_s", goal},
          {"met", p50 <= goal}};
}

}  // namespace

int main(int argc, char** argv) try {
  const bool to_file = argc == 3 && std::string_view(argv[1]) == "--json";
  if (argc != 1 && !to_file) {
    fmt::print(stderr, "usage: ingest_bench [--json FILE]\n");
    return 2;
  }
  const SinkProcess sink = start_sink();
  nlohmann::json result;
  result["ingest"] = ingest(sink);
  result["overhead"] = overhead();
  close(sink.hold);
  waitpid(sink.pid, nullptr, 0);
  if (to_file) std::ofstream(argv[2]) << result.dump(2);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", "ingest_bench", error.what());
  return 1;
}
