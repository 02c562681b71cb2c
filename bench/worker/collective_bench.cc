// bench/worker/collective_bench.cc: Muster's all-reduce against libgloo's and MPI's, side by side in one run,
// real processes
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "bench/worker/contender.h"
#include "bench/worker/report.h"

namespace muster::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kSizes[] = {4,         4'096,     16'384,     65'536,     262'144,
                                  1'048'576, 4'194'304, 16'777'216, 67'108'864, 268'435'456};
constexpr std::size_t kLargest = 67'108'864;  // unless the command line says more
constexpr double kBlockSeconds = 0.1;         // of one contender in one round, at least one call
constexpr int kRounds = 7;

struct Options {
  std::size_t largest = kLargest;
  std::string json;  // a file that rows are appended to; empty: none
};

struct Timing {
  double seconds = 0;
  double cpu_seconds = 0;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// Of one all-reduce: the mean over `calls` calls in a row.
Timing time_calls(Contender& contender, std::span<float> buffer, int calls) {
  const double cpu = cpu_seconds();
  const auto begin = steady_clock::now();
  for (int call = 0; call < calls; ++call) contender.all_reduce(buffer);
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  return {.seconds = seconds / calls, .cpu_seconds = (cpu_seconds() - cpu) / calls};
}

// All must compute the same sums before anything is timed.
void verify(Contender& contender, int rank, int size) {
  for (const std::size_t elements : {1UL, 1000UL, 300'001UL}) {
    std::vector<float> buffer(elements, static_cast<float>(rank + 1));
    contender.prepare(elements);
    contender.all_reduce(buffer);
    const int sum = size * (size + 1) / 2;
    for (const float value : buffer) {
      if (value != static_cast<float>(sum)) die(contender.name() + " computed a wrong sum");
    }
  }
}

// The others are compared with the first. Between machines there is no memory to share.
Contenders make_all(const Place& place, bool one_machine) {
  Contenders all;
  if (one_machine) all.push_back(make_muster(Wires::kMemory, place.in("memory")));
  all.push_back(make_muster(Wires::kTcp, place.in("tcp")));
  all.push_back(make_muster(Wires::kTls, place.in("tls")));
  all.push_back(make_bare_stream(place.in("bare")));
  for (auto& each : make_gloo(place.in("gloo"))) all.push_back(std::move(each));
  for (auto& each : make_mpi()) all.push_back(std::move(each));
  return all;
}

// All ranks must make as many calls: rank 0's pace, told by an all-reduce.
int calls_of(Contender& contender, std::span<float> buffer, Contender& teller, int rank) {
  const double seconds = time_calls(contender, buffer, 2).seconds;
  std::vector<float> pace{rank == 0 ? static_cast<float>(seconds) : 0.0F};
  teller.all_reduce(pace);
  return std::clamp(static_cast<int>(kBlockSeconds / static_cast<double>(pace[0])), 1, 2'000);
}

void run_rank(const Place& place, const Options& options) {
  const auto [rank, size] = std::pair(place.rank, place.size);
  const Contenders all = make_all(place, place.address == Place().address);
  std::vector<std::string> names;
  for (const auto& each : all) {
    if (each->name() != "bare tcp") verify(*each, rank, size);
    names.push_back(each->name());
  }
  if (rank == 0) print_header(names);
  for (const std::size_t bytes : kSizes) {
    if (bytes > options.largest) break;
    Row row{.ranks = size, .bytes = bytes, .entries = {}};
    // Zeros stay zeros, however often they are summed.
    std::vector<float> buffer(bytes / sizeof(float), 0.0F);
    std::vector<int> calls;
    for (const auto& each : all) {
      each->prepare(buffer.size());
      time_calls(*each, buffer, 2);
      calls.push_back(calls_of(*each, buffer, *all.front(), rank));
      row.entries.push_back({.name = each->name(), .note = each->note(), .seconds = {}, .cpu = {}});
    }
    for (int round = 0; round < kRounds; ++round) {  // in turns: a busy moment of the machine hits all
      for (std::size_t i = 0; i < all.size(); ++i) {
        const Timing timing = time_calls(*all[i], buffer, calls[i]);
        row.entries[i].seconds.push_back(timing.seconds);
        row.entries[i].cpu.push_back(timing.cpu_seconds);
      }
    }
    if (rank != 0) continue;
    print_row(row);
    if (!options.json.empty()) std::ofstream(options.json, std::ios::app) << json_of(row) << "\n";
  }
}

int run_group(int size, const std::filesystem::path& folder, const Options& options) {
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_rank({.rank = rank, .size = size, .folder = folder}, options);
      std::fflush(stdout);
      std::_Exit(0);
    }
    children.push_back(pid);
  }
  int failures = 0;
  for (const pid_t pid : children) {
    int state = 0;
    waitpid(pid, &state, 0);
    failures += state == 0 ? 0 : 1;
  }
  return failures;
}

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? std::nullopt : std::optional(std::atoi(text));
}

int run(const Options& options) {
  // Somebody else has started this rank, and gives all of them a folder of their own for the run: mpirun, or
  // bench/network, which also says the rank's address.
  const bool by_mpi = std::getenv("OMPI_COMM_WORLD_RANK") != nullptr;
  if (const auto rank = number_in(by_mpi ? "OMPI_COMM_WORLD_RANK" : "MUSTER_BENCH_RANK")) {
    const char* folder = std::getenv("MUSTER_BENCH_FOLDER");
    const auto size = number_in(by_mpi ? "OMPI_COMM_WORLD_SIZE" : "MUSTER_BENCH_SIZE");
    if (folder == nullptr || !size)
      die("MUSTER_BENCH_FOLDER, an empty folder for all ranks, or their number is not set");
    Place place{.rank = *rank, .size = *size, .folder = folder};
    if (const char* address = std::getenv("MUSTER_BENCH_ADDRESS")) place.address = address;
    run_rank(place, options);
    return 0;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "muster-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) die("cannot make a folder in the temporary directory");
  print_machine();
  int failures = 0;
  for (const int size : {2, 4, 8})
    failures += run_group(size, std::filesystem::path(folder) / std::to_string(size), options);
  std::filesystem::remove_all(folder);
  return failures == 0 ? 0 : 1;
}

}  // namespace

void die(const std::string& message) {
  fmt::print(stderr, "collective_bench: {}\n", message);
  std::_Exit(1);
}

}  // namespace muster::bench

int main(int argc, char** argv) {
  muster::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--largest=")) {
      options.largest = std::strtoull(argv[i] + 10, nullptr, 10);
    } else if (argument.starts_with("--json=")) {
      options.json = argument.substr(7);
    } else {
      fmt::print(stderr, "usage: collective_bench [--largest=BYTES] [--json=FILE]\n");
      return 2;
    }
  }
  return muster::bench::run(options);
}
