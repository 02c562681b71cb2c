// bench/worker/collective_bench.cc: our ring all-reduce, plain and encrypted, against libgloo's, side by
// side in one run, real processes
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
#include <thread>

#include "bench/worker/contender.h"
#include "bench/worker/report.h"
#include "worker/collective/mesh_collective.h"
#include "worker/transport/tcp_mesh.h"

namespace muster::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kSizes[] = {4'096,     16'384,    65'536,     262'144,
                                  1'048'576, 4'194'304, 16'777'216, 67'108'864};
constexpr double kBlockSeconds = 0.12;  // of one contender in one round, at least one call
constexpr int kRounds = 7;

[[noreturn]] void die(const std::string& message) {
  fmt::print(stderr, "collective_bench: {}\n", message);
  std::_Exit(1);
}

class MusterMesh final : public Contender {
 public:
  MusterMesh(int rank, int size, const std::filesystem::path& folder, bool encrypt) {
    auto listening = worker::MeshPort::listen("127.0.0.1", 0);
    if (!listening) die(listening.error().message);
    const auto mine = folder / std::to_string(rank);
    std::ofstream(mine.string() + ".new") << "127.0.0.1:" << (*listening)->port();
    std::filesystem::rename(mine.string() + ".new", mine);
    worker::MeshPort::Options options{
        .identity = {.job_uid = "bench", .membership = 1, .rank = rank, .size = size},
        .key = {std::byte{1}},
        .encrypt = encrypt,
        .peers = {},
        .log = {},
        .refused = {}};
    for (int peer = 0; peer < size; ++peer) {
      const auto file = folder / std::to_string(peer);
      while (!std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::string address;
      std::ifstream(file) >> address;
      options.peers.push_back(address);
    }
    auto mesh = (*listening)->connect(std::move(options), deadline_after(std::chrono::seconds(30)));
    if (!mesh) die(mesh.error().message);
    collective_ = std::make_unique<worker::MeshCollective>(*std::move(mesh), worker::Topology::kRing);
  }

  ~MusterMesh() override { collective_->leave({}); }

  void all_reduce(std::span<float> buffer) override {
    const auto deadline = deadline_after(std::chrono::seconds(120));
    if (const Status status = collective_->all_reduce_sum(buffer, worker::Traffic::kPayload, deadline);
        !status)
      die(status.error().message);
  }

 private:
  std::unique_ptr<worker::Collective> collective_;
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
    contender.all_reduce(buffer);
    const int sum = size * (size + 1) / 2;
    for (const float value : buffer) {
      if (value != static_cast<float>(sum)) die("a contender computed a wrong sum");
    }
  }
}

void run_rank(int rank, int size, const std::filesystem::path& folder, std::size_t largest) {
  const auto ours = make_muster(rank, size, folder / "muster", false);
  const auto encrypted = make_muster(rank, size, folder / "encrypted", true);
  const auto theirs = make_gloo(rank, size, folder / "gloo");
  verify(*ours, rank, size);
  verify(*encrypted, rank, size);
  verify(*theirs, rank, size);
  for (const std::size_t bytes : kSizes) {
    if (bytes > largest) break;
    Row row{.ranks = size,
            .bytes = bytes,
            .muster_seconds = {},
            .encrypted_seconds = {},
            .gloo_seconds = {},
            .muster_cpu = {},
            .encrypted_cpu = {},
            .gloo_cpu = {}};
    std::vector<float> buffer(bytes / sizeof(float),
                              0.0F);  // zeros stay zeros, however often they are summed
    for (Contender* contender : {ours.get(), encrypted.get(), theirs.get()})
      time_calls(*contender, buffer, 3);
    // All ranks must make as many calls: rank 0's pace, told by an all-reduce.
    std::vector<float> pace{rank == 0 ? static_cast<float>(time_calls(*theirs, buffer, 3).seconds) : 0.0F};
    if (rank != 0) time_calls(*theirs, buffer, 3);
    ours->all_reduce(pace);
    const int calls = std::clamp(static_cast<int>(kBlockSeconds / static_cast<double>(pace[0])), 1, 2'000);
    for (int round = 0; round < kRounds; ++round) {  // in turns: a busy moment of the machine hits all
      const Timing muster = time_calls(*ours, buffer, calls);
      const Timing tls = time_calls(*encrypted, buffer, calls);
      const Timing gloo = time_calls(*theirs, buffer, calls);
      row.muster_seconds.push_back(muster.seconds);
      row.muster_cpu.push_back(muster.cpu_seconds);
      row.encrypted_seconds.push_back(tls.seconds);
      row.encrypted_cpu.push_back(tls.cpu_seconds);
      row.gloo_seconds.push_back(gloo.seconds);
      row.gloo_cpu.push_back(gloo.cpu_seconds);
    }
    if (rank == 0) print_row(row);
  }
}

int run_group(int size, const std::filesystem::path& folder, std::size_t largest) {
  std::filesystem::create_directories(folder / "muster");
  std::filesystem::create_directories(folder / "encrypted");
  std::filesystem::create_directories(folder / "gloo");
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_rank(rank, size, folder, largest);
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

}  // namespace

std::unique_ptr<Contender> make_muster(int rank, int size, const std::filesystem::path& folder,
                                       bool encrypt) {
  return std::make_unique<MusterMesh>(rank, size, folder, encrypt);
}

}  // namespace muster::bench

int main(int argc, char** argv) {
  // collective_bench [largest size in bytes]
  const std::size_t largest = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : SIZE_MAX;
  std::string folder = (std::filesystem::temp_directory_path() / "muster-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr)
    muster::bench::die("cannot make a folder in the temporary directory");
  muster::bench::print_machine();
  muster::bench::print_header();
  int failures = 0;
  for (const int size : {2, 4})
    failures += muster::bench::run_group(size, std::filesystem::path(folder) / std::to_string(size), largest);
  std::filesystem::remove_all(folder);
  return failures == 0 ? 0 : 1;
}
