// bench/worker/overlap_bench.cc: a training's steps with its sums after the backward pass and beside it, in
// turns, real processes
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>

#include "bench/worker/contender.h"
#include "bench/worker/report.h"
#include "learning/optimizer.h"
#include "worker/collective/mesh_collective.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/transport/tcp_mesh.h"

namespace muster::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kTimeout{120};
constexpr std::int64_t kPixels = 784;
constexpr double kBlockSeconds = 0.25;  // of one way in one round, at least two steps
constexpr int kRounds = 9;

struct Options {
  bool share_memory = true;
  std::size_t elements = worker::BucketSizes().elements;  // of a bucket, of models of any size
  std::string only{};                                     // cases whose names hold this
};

struct Case {
  const char* name;
  spec::Model model;
  std::int64_t batch;  // examples of a rank
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::int64_t batch : {32, 128}) {
    all.push_back({"cnn", {.name = "cnn"}, batch});
    all.push_back({"mlp 128", {.name = "mlp", .hidden = {128}}, batch});
    all.push_back({"mlp 256x128", {.name = "mlp", .hidden = {256, 128}}, batch});
    all.push_back({"mlp 256x256x256", {.name = "mlp", .hidden = {256, 256, 256}}, batch});
    all.push_back({"mlp 512x512", {.name = "mlp", .hidden = {512, 512}}, batch});
    all.push_back({"mlp 1024x1024", {.name = "mlp", .hidden = {1024, 1024}}, batch});
    all.push_back({"mlp 2048x2048x2048", {.name = "mlp", .hidden = {2048, 2048, 2048}}, batch});
  }
  return all;
}

learning::Examples pictures(std::int64_t count) {
  learning::Examples made;
  made.feature_count = kPixels;
  made.class_count = 10;
  made.shape = {28, 28};
  for (std::int64_t i = 0; i < count * kPixels; ++i)
    made.features.push_back(static_cast<float>(i % 251) / 251.0F);
  for (std::int64_t i = 0; i < count; ++i) made.labels.push_back(static_cast<std::int32_t>(i % 10));
  return made;
}

std::unique_ptr<worker::Collective> connect(const Place& place, const Options& options) {
  auto listening = worker::MeshPort::listen(place.address, 0);
  if (!listening) die(listening.error().message);
  worker::MeshPort::Options how{
      .identity = {.job_uid = "bench", .membership = 1, .rank = place.rank, .size = place.size},
      .key = {std::byte{1}},
      .encrypt = false,
      .share_memory = options.share_memory && place.address == Place().address,
      .peers = meet(place, (*listening)->port()),
      .log = {},
      .refused = {}};
  auto mesh = (*listening)->connect(std::move(how), deadline_after(kTimeout));
  if (!mesh) die(mesh.error().message);
  return std::make_unique<worker::MeshCollective>(*std::move(mesh), std::nullopt);
}

// One way to make the steps of one case.
class Trainer {
 public:
  Trainer(learning::Model& model, const Case& what, worker::Collective& collective,
          std::vector<worker::Bucket> plan)
      : task_(model),
        optimizer_(learning::make_optimizer({}, model.parameter_count())),
        sum_(worker::dense_sum(collective, {.timeout = kTimeout})),
        buckets_(plan.size()),
        parallel_({collective, *sum_, *optimizer_}, kTimeout, std::move(plan)),
        parameters_(model.initial_parameters(1)),
        gradient_(parameters_.size() + worker::Synchronizer::kRiders),
        share_{.mine = what.batch, .all = what.batch * collective.size()},
        data_(pictures(what.batch)),
        rows_(static_cast<std::size_t>(what.batch)) {
    std::iota(rows_.begin(), rows_.end(), std::int64_t{0});
    if (const auto begun = parallel_.begin({}, parameters_); !begun) die(begun.error().message);
  }

  [[nodiscard]] std::size_t buckets() const { return buckets_; }

  // Seconds of one.
  double steps(int count, bool beside) {
    const auto begun = steady_clock::now();
    for (int i = 0; i < count; ++i) {
      learning::Model::Ready ready;
      if (beside) ready = parallel_.expect(gradient_, share_);
      const double loss = task_.gradient_by_parts(parameters_, data_, rows_,
                                                  std::span(gradient_).first(parameters_.size()), ready);
      if (const auto sums = parallel_.exchange(gradient_, parameters_, {.loss = loss, .share = share_});
          !sums)
        die(sums.error().message);
    }
    return std::chrono::duration<double>(steady_clock::now() - begun).count() / count;
  }

 private:
  learning::Model& task_;
  std::unique_ptr<learning::Optimizer> optimizer_;
  std::unique_ptr<worker::GradientSum> sum_;
  std::size_t buckets_;
  worker::DataParallel parallel_;
  std::vector<float> parameters_;
  std::vector<float> gradient_;
  worker::BatchShare share_;
  learning::Examples data_;
  std::vector<std::int64_t> rows_;
};

void run_rank(const Place& place, const Options& options) {
  const auto collective = connect(place, options);
  for (const Case& each : cases()) {
    if (std::string_view(each.name).find(options.only) == std::string_view::npos) continue;
    auto model = learning::make_model(each.model, pictures(1));
    if (!model) die(model.error().message);
    const auto tensors = (*model)->tensors();
    Trainer whole(**model, each, *collective, {});
    Trainer parts(**model, each, *collective,
                  worker::plan_buckets(tensors, {.elements = options.elements, .least = 0}));
    const double first = whole.steps(3, false);
    std::vector<float> pace{place.rank == 0 ? static_cast<float>(first) : 0.0F};
    if (!collective->all_reduce_sum(pace, worker::Traffic::kControl, deadline_after(kTimeout), 0))
      die("lost");
    const int count = std::clamp(static_cast<int>(kBlockSeconds / static_cast<double>(pace[0])), 2, 2000);
    parts.steps(3, true);
    std::array<std::vector<double>, 3> seconds;
    for (int round = 0; round < kRounds; ++round) {  // in turns: a busy moment of the machine hits all
      seconds[0].push_back(whole.steps(count, false));
      seconds[1].push_back(parts.steps(count, false));
      seconds[2].push_back(parts.steps(count, true));
    }
    if (place.rank != 0) continue;
    std::vector<double> ratios;
    ratios.reserve(kRounds);
    for (int round = 0; round < kRounds; ++round)
      ratios.push_back(seconds[0][static_cast<std::size_t>(round)] /
                       seconds[2][static_cast<std::size_t>(round)]);
    std::ranges::sort(ratios);
    fmt::print(
        "{} ranks, {:<19} batch {:>3}, {:>5.2f} MB: as one {:>8.3f} ms, {} buckets {:>8.3f} ms, beside "
        "{:>8.3f} ms: "
        "{:.2f} ({:.2f} .. {:.2f})\n",
        place.size, each.name, each.batch, static_cast<double>((*model)->parameter_count()) * 4e-6,
        1e3 * median(seconds[0]), parts.buckets(), 1e3 * median(seconds[1]), 1e3 * median(seconds[2]),
        median(ratios), ratios[1], ratios[ratios.size() - 2]);
    std::fflush(stdout);
  }
  collective->leave({});
}

int run_group(int size, const std::filesystem::path& folder, const Options& options) {
  std::filesystem::create_directory(folder);
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_rank({.rank = rank, .size = size, .folder = folder}, options);
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

int run(const Options& options) {
  // bench/network has started this rank in a namespace of its own.
  if (const char* rank = std::getenv("MUSTER_BENCH_RANK"); rank != nullptr) {
    const char* size = std::getenv("MUSTER_BENCH_SIZE");
    const char* folder = std::getenv("MUSTER_BENCH_FOLDER");
    const char* address = std::getenv("MUSTER_BENCH_ADDRESS");
    if (size == nullptr || folder == nullptr || address == nullptr) die("bench/network sets more variables");
    run_rank({.rank = std::atoi(rank), .size = std::atoi(size), .address = address, .folder = folder},
             options);
    return 0;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "muster-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) die("cannot make a folder in the temporary directory");
  int failures = 0;
  for (const int size : {2, 4})
    failures += run_group(size, std::filesystem::path(folder) / std::to_string(size), options);
  std::filesystem::remove_all(folder);
  return failures == 0 ? 0 : 1;
}

}  // namespace

void die(const std::string& message) {
  fmt::print(stderr, "overlap_bench: {}\n", message);
  std::_Exit(1);
}

}  // namespace muster::bench

int main(int argc, char** argv) {
  muster::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--tcp") {
      options.share_memory = false;
    } else if (argument.starts_with("--elements=")) {
      options.elements = std::strtoull(argv[i] + 11, nullptr, 10);
    } else if (argument.starts_with("--only=")) {
      options.only = argument.substr(7);
    } else {
      fmt::print(stderr, "usage: overlap_bench [--tcp] [--elements=N] [--only=NAME]\n");
      return 2;
    }
  }
  return muster::bench::run(options);
}
