// bench/aggregator/rounds_bench.cc: rounds of the real muster-aggregator with clients that train nothing:
// time from one round's last update to the next round's first model, and the server's memory beside its bound
//   rounds_bench CLIENTS MODEL_BYTES ROUNDS [STRATEGY]   one line of JSON on standard output
// Exit code 1: the peak is above the bound.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>

#include "aggregator/shell/transfer_calls.h"
#include "aggregator/shell/upload.h"
#include "bench/aggregator/real_federation.h"

namespace {

using namespace muster;  // NOLINT: a program of one file
using std::chrono::steady_clock;

constexpr double kProcessBytes = 96.0 * (1 << 20);  // libtorch's tables, threads, sessions of TLS, test data

// Models that the strategy remembers between rounds, beside the model and the aggregate.
double state_models(const std::string& strategy) {
  if (strategy == "FedAvgM" || strategy == "Nesterov") return 1;
  if (strategy == "FedAdam" || strategy == "FedYogi" || strategy == "FedAdagrad") return 2;
  if (strategy == "SCAFFOLD") return 1 + 2;  // the changes of the round under way, too
  return 0;
}

// The most that a process has had of memory that the kernel cannot take back, looked at each millisecond.
class Peak {
 public:
  explicit Peak(pid_t pid)
      : thread_([this, pid](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            kib_ = std::max<std::int64_t>(kib_, status_kib(pid, "RssAnon") + status_kib(pid, "RssShmem"));
            std::this_thread::sleep_for(1ms);
          }
        }) {}
  [[nodiscard]] double bytes() const { return 1024.0 * static_cast<double>(kib_); }

 private:
  std::atomic<std::int64_t> kib_ = 0;
  std::jthread thread_;
};

struct Span {
  steady_clock::time_point first = steady_clock::time_point::max();
  steady_clock::time_point last = steady_clock::time_point::min();
  void add(steady_clock::time_point now) {
    first = std::min(first, now);
    last = std::max(last, now);
  }
};
struct Turns {  // of a round, over its clients: when they had the model, and had sent their updates
  Span model;
  Span sent;
};

// One client until the federation is over: its model has come, it trains nothing, its update goes.
void play(const RealFederation& federation, std::int32_t client, const UploadHeader& like,
          std::span<const float> update, std::mutex& mutex, std::map<std::int64_t, Turns>& rounds) {
  FederationStub& stub = federation.stub_of(client);
  while (true) {
    CheckInReply told;
    if (!federation.check_in(client, told) || told.has_done()) return;
    if (!told.has_task()) continue;
    const Task& task = told.task();
    const auto note = [&](Span Turns::*what) {
      const std::scoped_lock lock(mutex);
      (rounds[task.round()].*what).add(steady_clock::now());
    };
    grpc::ClientContext down;
    federation::v1::DownloadRequest wanted;
    wanted.set_task_id(task.task_id());
    const auto reader = stub.Download(&down, wanted);
    Chunk chunk;
    while (reader->Read(&chunk)) {
    }
    if (!reader->Finish().ok()) continue;
    note(&Turns::model);
    UploadHeader header = like;
    header.set_task_id(task.task_id());
    grpc::Status status;
    do {
      UploadReply reply;
      grpc::ClientContext up;
      const auto writer = stub.Upload(&up, &reply);
      UploadRequest part;
      *part.mutable_header() = header;
      bool writing = writer->Write(part);
      const auto bytes = std::as_bytes(update);
      for (std::size_t at = 0; writing && at < bytes.size(); at += kUploadChunkBytes) {
        const auto some = bytes.subspan(at, std::min(kUploadChunkBytes, bytes.size() - at));
        part.mutable_chunk()->set_offset(at);
        part.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(some.data()), some.size());
        writing = writer->Write(part);
      }
      writer->WritesDone();
      note(&Turns::sent);
      status = writer->Finish();
      if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) std::this_thread::sleep_for(20ms);
    } while (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    if (!status.ok()) fmt::print(stderr, "client {}: {}\n", client, status.error_message());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4 || argc > 5 || std::atoll(argv[1]) < 1 || std::atoll(argv[3]) < 2) {
    fmt::print(stderr, "usage: rounds_bench CLIENTS MODEL_BYTES ROUNDS [STRATEGY], of at least 2 rounds\n");
    return 2;
  }
  const auto clients = static_cast<std::int32_t>(std::atoll(argv[1]));
  spec::Federation spec = federation_of(clients, std::atoll(argv[2]), std::atoll(argv[3]));
  if (argc == 5) spec.strategy.name = argv[4];
  spec.strategy.learning_rate = 0.1;
  const std::string strategy = spec.strategy.name;
  const RealFederation federation(std::move(spec));
  const Peak peak(federation.pid());
  // The size is the first task's; the clients that ask for one here ask again.
  const std::vector<Task> first = federation.begin_round();
  const std::uint64_t model_bytes =
      strategy == "SCAFFOLD" ? first[0].model_bytes() / 2 : first[0].model_bytes();
  const std::vector<float> update(model_bytes / sizeof(float), 1e-3F);
  const UploadHeader header = header_of(first[0], update);
  std::mutex mutex;
  std::map<std::int64_t, Turns> rounds;
  const auto begin = steady_clock::now();
  side_by_side(clients,
               [&](std::int32_t client) { play(federation, client, header, update, mutex, rounds); });
  const double wall = seconds_since(begin);
  std::vector<double> between;  // the last client has sent its update: the first one has the next model
  for (auto next = std::next(rounds.begin()); next != rounds.end(); ++next)
    between.push_back(
        std::chrono::duration<double>(next->second.model.first - std::prev(next)->second.sent.last).count());
  const double model = static_cast<double>(model_bytes);
  const double uploads =
      std::min(static_cast<double>(clients) * static_cast<double>(agg::room_of_upload(model_bytes)),
               std::max(static_cast<double>(agg::kUploadMemory),
                        2.0 * static_cast<double>(agg::room_of_upload(model_bytes))));
  const double bound = (2 + state_models(strategy)) * model + uploads +
                       static_cast<double>(agg::kDownloadMemory) + kProcessBytes;
  const nlohmann::json row{{"clients", clients},
                           {"model_bytes", model_bytes},
                           {"rounds", rounds.size()},
                           {"strategy", strategy},
                           {"wall_s", wall},
                           {"between_rounds_p50_s", median(between)},
                           {"peak_bytes", peak.bytes()},
                           {"bound_bytes", bound},
                           {"met", peak.bytes() <= bound}};
  fmt::print("{}\n", row.dump());
  return peak.bytes() <= bound ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", "rounds_bench", error.what());
  return 1;
}
