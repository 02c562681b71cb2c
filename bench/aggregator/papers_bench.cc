// bench/aggregator/papers_bench.cc: the tables of FedProx and q-FFL on synthetic data, ours beside the
// published
//   papers_bench [--seeds N] [--rounds N]   (10 seeds, 20000 rounds of q-FFL; FedProx's are 200)
// Exit code 1: a row is off by more than three standard errors, or fewer pairs than nine in ten go the
// paper's way.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/aggregator/papers/fed_prox.h"
#include "tests/aggregator/papers/q_ffl.h"

namespace {

using namespace muster::papers;  // NOLINT: a program of one file

constexpr double kPublishedSeeds = 10;

struct Wanted {
  std::uint64_t seeds = 10;
  std::int64_t rounds = 20'000;
};

std::vector<double> of_all(const std::vector<QFflRun>& runs, double Fairness::*figure) {
  std::vector<double> values;
  values.reserve(runs.size());
  for (const QFflRun& run : runs) values.push_back(run.last.*figure);
  return values;
}

class Verdict {
 public:
  void row(std::string_view what, const Moments& ours, std::size_t seeds, const Moments& theirs) {
    const bool same = within_three_errors(ours, static_cast<double>(seeds), theirs, kPublishedSeeds);
    ok_ = ok_ && same;
    fmt::print("| {} | {:.1f} +- {:.1f} | {:.1f} +- {:.1f} | {} |\n", what, theirs.mean, theirs.deviation,
               ours.mean, ours.deviation, same ? "yes" : "NO");
  }
  void pairs(std::string_view what, std::size_t count, std::size_t seeds) {
    ok_ = ok_ && 10 * count >= 9 * seeds;
    fmt::print("| {} | {} of {} |\n", what, count, seeds);
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  bool ok_ = true;
};

// One run of each seed, on every core.
template <typename Run>
std::vector<Run> of_seeds(const Wanted& wanted, const std::function<Run(std::uint64_t seed)>& run) {
  std::vector<Run> runs(wanted.seeds);
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads;
  for (unsigned core = 0; core < std::max(1U, std::thread::hardware_concurrency()); ++core) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < runs.size(); i = next++) runs[i] = run(i + 1);
    });
  }
  threads.clear();  // joins
  return runs;
}

template <typename Run>
std::size_t count_pairs(const std::vector<Run>& first, const std::vector<Run>& second,
                        const std::function<bool(const Run&, const Run&)>& holds) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < first.size(); ++i) count += holds(first[i], second[i]) ? 1 : 0;
  return count;
}

void q_ffl(const Wanted& wanted, Verdict& verdict) {
  const auto plain =
      of_seeds<QFflRun>(wanted, [&](std::uint64_t seed) { return run_q_ffl(0, seed, wanted.rounds); });
  const auto fair =
      of_seeds<QFflRun>(wanted, [&](std::uint64_t seed) { return run_q_ffl(1, seed, wanted.rounds); });
  fmt::print(
      "q-FFL, Synthetic(1, 1), 100 devices, {} rounds, {} seeds; \"same\": within three standard errors\n\n"
      "| | published | here | same |\n|---|---|---|---|\n",
      wanted.rounds, wanted.seeds);
  struct Row {
    const char* name;
    double Fairness::*figure;
    Moments plain, fair;
  };
  for (const Row& row : {Row{"accuracy, %", &Fairness::accuracy, {78.4, 4.3}, {77.6, 3.5}},
                         Row{"worst 10 %, %", &Fairness::worst_tenth, {18.9, 8.5}, {29.4, 5.7}},
                         Row{"variance", &Fairness::variance, {740, 171}, {500, 81}}}) {
    verdict.row(fmt::format("{}, q = 0", row.name), moments(of_all(plain, row.figure)), plain.size(),
                row.plain);
    verdict.row(fmt::format("{}, q = 1", row.name), moments(of_all(fair, row.figure)), fair.size(), row.fair);
  }
  fmt::print("\n| q = 1 against q = 0, means of the second half of the rounds | seeds |\n|---|---|\n");
  verdict.pairs(
      "lower variance",
      count_pairs<QFflRun>(plain, fair,
                           [](const auto& a, const auto& b) { return b.mean.variance < a.mean.variance; }),
      plain.size());
  verdict.pairs(
      "higher worst 10 %",
      count_pairs<QFflRun>(
          plain, fair, [](const auto& a, const auto& b) { return b.mean.worst_tenth > a.mean.worst_tenth; }),
      plain.size());
}

std::vector<FedProxRun> runs_of(const FedProxSetting& setting, const Wanted& wanted) {
  return of_seeds<FedProxRun>(wanted, [&](std::uint64_t seed) { return run_fed_prox(setting, seed, 200); });
}

struct Published {  // research replicated with 10 seeds: means
  double loss_100, loss_end, accuracy_50, accuracy_100, accuracy_end, variance;
};

void row_of(std::string_view what, const std::vector<FedProxRun>& runs, const Published& published) {
  Published sum{};
  for (const FedProxRun& run : runs) {
    const auto share = 1.0 / static_cast<double>(runs.size());
    sum.loss_100 += share * run.losses[99];
    sum.loss_end += share * run.final_loss(20);
    sum.accuracy_50 += share * run.accuracies[49];
    sum.accuracy_100 += share * run.accuracies[99];
    sum.accuracy_end += share * run.final_accuracy(20);
    sum.variance += share * run.gradient_variance;
  }
  fmt::print(
      "| {} | {:.2f} / {:.2f} | {:.2f} / {:.2f} | {:.2f} / {:.2f} | {:.2f} / {:.2f} | {:.2f} / {:.2f} "
      "| {:.1f} / {:.1f} |\n",
      what, published.loss_100, sum.loss_100, published.loss_end, sum.loss_end, published.accuracy_50,
      sum.accuracy_50, published.accuracy_100, sum.accuracy_100, published.accuracy_end, sum.accuracy_end,
      published.variance, sum.variance);
  std::fflush(stdout);
}

void fed_prox(const Wanted& wanted, Verdict& verdict) {
  fmt::print(
      "\nFedProx, 30 devices, 200 rounds, {} seeds; published / here, means\n\n"
      "| data | loss at 100 | loss 181-200 | accuracy at 50 | at 100 | 181-200 | gradient variance |\n"
      "|---|---|---|---|---|---|---|\n",
      wanted.seeds);
  const auto iid = runs_of({.heterogeneity = 0, .iid = true}, wanted);
  const auto iid_mu = runs_of({.heterogeneity = 0, .iid = true, .mu = 1}, wanted);
  row_of("IID, mu = 0", iid, {.41, .33, .82, .86, .88, 0});
  row_of("IID, mu = 1", iid_mu, {.96, .81, .63, .68, .73, 0});
  struct Pair {
    std::string name;
    std::vector<FedProxRun> plain, mu;
  };
  std::vector<Pair> pairs;
  const std::vector<std::pair<Published, Published>> published{
      {{.83, .80, .72, .75, .77, 20.5}, {.53, .45, .77, .81, .83, 5.0}},
      {{.89, .80, .71, .76, .79, 25.2}, {.51, .42, .76, .82, .84, 7.8}},
      {{.93, .78, .71, .77, .80, 55.2}, {.51, .38, .76, .83, .86, 24.5}}};
  for (std::size_t i = 0; i < 3; ++i) {
    const double spread = static_cast<double>(i) / 2;
    const std::string name = fmt::format("({0:g}, {0:g})", spread);
    Pair& pair = pairs.emplace_back(Pair{name, runs_of({.heterogeneity = spread}, wanted),
                                         runs_of({.heterogeneity = spread, .mu = 1}, wanted)});
    row_of(name + ", mu = 0", pair.plain, published[i].first);
    row_of(name + ", mu = 1", pair.mu, published[i].second);
  }
  const auto dropped = runs_of({.stragglers = 9, .drop_stragglers = true}, wanted);
  const auto partial = runs_of({.stragglers = 9}, wanted);
  const auto held = runs_of({.mu = 1, .stragglers = 9}, wanted);
  row_of("(1, 1), 9 of 10 straggle, FedAvg", dropped, {1.70, .81, .54, .63, .77, 37});
  row_of("(1, 1), 9 of 10 straggle, mu = 0", partial, {.72, .61, .72, .79, .82, 46});
  row_of("(1, 1), 9 of 10 straggle, mu = 1", held, {.51, .39, .76, .83, .86, 24});
  fmt::print("\n| pairs | seeds |\n|---|---|\n");
  for (const Pair& pair : pairs) {
    const auto told = [&](std::string_view what, const auto& holds) {
      verdict.pairs(fmt::format("{}: mu = 1 has {}", pair.name, what),
                    count_pairs<FedProxRun>(pair.plain, pair.mu, holds), pair.plain.size());
    };
    told("the lower final loss",
         [](const auto& a, const auto& b) { return b.final_loss(20) < a.final_loss(20); });
    told("the higher final accuracy",
         [](const auto& a, const auto& b) { return b.final_accuracy(20) > a.final_accuracy(20); });
    told("the lower gradient variance",
         [](const auto& a, const auto& b) { return b.gradient_variance < a.gradient_variance; });
    told("the loss that rises less", [](const auto& a, const auto& b) { return b.rises() < a.rises(); });
  }
  verdict.pairs("IID: mu = 1 has the lower final accuracy",
                count_pairs<FedProxRun>(
                    iid, iid_mu,
                    [](const auto& a, const auto& b) { return b.final_accuracy(20) < a.final_accuracy(20); }),
                iid.size());
  for (const auto& [name, runs] : {std::pair{"mu = 0", &partial}, {"mu = 1", &held}}) {
    for (const std::size_t round : {50UL, 100UL}) {
      verdict.pairs(fmt::format("9 of 10 straggle: {} has a lower loss than FedAvg at round {}", name, round),
                    count_pairs<FedProxRun>(dropped, *runs,
                                            [&](const auto& a, const auto& b) {
                                              return b.losses[round - 1] < a.losses[round - 1];
                                            }),
                    dropped.size());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Wanted wanted;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    const std::int64_t value = i + 1 < argc ? std::atoll(argv[i + 1]) : 0;
    if ((option != "--seeds" && option != "--rounds") || value < 1) {
      fmt::print(stderr, "usage: papers_bench [--seeds N] [--rounds N]\n");
      return 2;
    }
    if (option == "--seeds") {
      wanted.seeds = static_cast<std::uint64_t>(value);
    } else {
      wanted.rounds = value;
    }
  }
  Verdict verdict;
  q_ffl(wanted, verdict);
  fed_prox(wanted, verdict);
  if (!verdict.ok()) fmt::print("\nsome rows or pairs are not as published\n");
  return verdict.ok() ? 0 : 1;
}
