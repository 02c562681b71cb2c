// worker/engine/train_ledger.cc: which examples the completed steps were made of, and what was no number in
// them
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "worker/engine/train_run.h"
#include "worker/parallel/shard_message.h"

namespace muster::worker {
namespace {

// A number in two floats, whose sums over the ranks are exact: only one of these says more than 0.
constexpr std::int64_t kHalf = 1 << 16;

void write_numbers(std::span<const std::int64_t> numbers, std::span<float> to) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::int64_t high = numbers[i] / kHalf;
    const std::int64_t low = numbers[i] % kHalf;
    to[2 * i] = static_cast<float>(high);
    to[2 * i + 1] = static_cast<float>(low);
  }
}

// -1: whatever peers have sent, it is no number.
std::vector<std::int64_t> read_numbers(std::span<const float> from) {
  const auto is_digit = [](float value, float end) { return value >= 0 && value < end; };
  std::vector<std::int64_t> numbers(from.size() / 2);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const float high = from[2 * i];
    const float low = from[2 * i + 1];
    numbers[i] = is_digit(high, 0x1p24F) && is_digit(low, static_cast<float>(kHalf))
                     ? static_cast<std::int64_t>(high) * kHalf + static_cast<std::int64_t>(low)
                     : -1;
  }
  return numbers;
}

std::vector<std::int64_t> sorted(std::span<const std::int64_t> rows) {
  std::vector<std::int64_t> copy(rows.begin(), rows.end());
  std::ranges::sort(copy);
  return copy;
}

}  // namespace

// `told`: the digest of what all ranks trained on. Where it is another than that of what was planned, they
// tell each other the rows: every rank, since all have the same plan.
Result<TrainLoop::Trained> TrainLoop::look_up(std::span<const std::int64_t> planned,
                                              std::span<const std::int64_t> mine, std::uint64_t told) {
  Trained trained{.planned = learning::digest_of_rows(planned)};
  if (trained.planned == told) return trained;
  const auto rank = static_cast<std::size_t>(parts_.collective.rank());
  std::vector<float> counts(2 * static_cast<std::size_t>(parts_.collective.size()));
  const std::int64_t my_count = std::ssize(mine);
  write_numbers({&my_count, 1}, std::span(counts).subspan(2 * rank, 2));
  MUSTER_TRY(sum(counts));
  // What a peer makes this rank take into its memory.
  const std::int64_t most = 2 * std::ssize(planned) + my_count;
  std::size_t all = 0;
  std::size_t before = 0;
  const auto each = read_numbers(counts);
  for (std::size_t i = 0; i < each.size(); ++i) {
    if (each[i] < 0 || each[i] > most - static_cast<std::int64_t>(all))
      return internal_error(
          fmt::format("rank {} tells that it trained on {} examples, where a step has {}; "
                      "is its image this worker's?",
                      i, each[i], planned.size()));
    all += static_cast<std::size_t>(each[i]);
    if (i < rank) before += static_cast<std::size_t>(each[i]);
  }
  if (each[rank] != my_count)
    return internal_error(
        fmt::format("a rank tells how many examples rank {} trained on; is its image "
                    "this worker's?",
                    rank));
  std::vector<float> numbers(2 * all);
  write_numbers(mine, std::span(numbers).subspan(2 * before));
  MUSTER_TRY(sum(numbers));
  const auto rows = read_numbers(numbers);
  if (!std::ranges::all_of(rows,
                           [&](std::int64_t row) { return row >= 0 && row < parts_.data.train.size(); }))
    return internal_error(
        "a rank tells that it trained on examples that the data does not have; do all run one image?");
  const auto really = sorted(rows);
  const auto wanted = sorted(planned);
  std::ranges::set_difference(really, wanted, std::back_inserter(trained.more));
  std::ranges::set_difference(wanted, really, std::back_inserter(trained.fewer));
  return trained;
}

// A step, or several, on the next `count` places of the epoch are completed.
void TrainLoop::enter(Run& run, std::int64_t count, const Trained& trained) {
  run.ledger.count({.begin = run.into_epoch, .end = run.into_epoch + count}, trained.planned);
  run.ledger.correct(trained.more, trained.fewer);
  run.into_epoch += count;
  if (run.into_epoch >= run.examples) {
    ++run.epoch;
    run.into_epoch = 0;
    run.ledger.close(run.epoch, run.examples);
  }
  if (!parts_.synchronizer.keeps_own_parameters()) run.progress.ledger = run.ledger;
}

// What parameter servers or a checkpoint tell of steps that nobody here has seen.
void TrainLoop::enter_told(Run& run, std::int64_t count) {
  while (count > 0) {
    const std::int64_t here = std::min(count, run.examples - run.into_epoch);
    enter(run, here, {.planned = learning::digest_of_rows(rows_of(run, run.into_epoch, here))});
    count -= here;
  }
}

// `seen`: of all ranks' gradients, the same on each; `mine`: elements of this one's.
Status TrainLoop::note_not_finite(Run& run, const NotFinite& seen, std::int64_t mine) {
  const auto add = [](std::int64_t& to, std::int64_t count) {
    to = std::min(to + std::clamp<std::int64_t>(count, 0, kCountMax), kCountMax);
  };
  add(run.progress.not_finite, seen.elements);
  add(run.progress.mine_not_finite, mine);
  if (seen.elements <= 0 || run.progress.first_not_finite) return {};
  std::vector<float> counts(static_cast<std::size_t>(parts_.collective.size()));
  counts[static_cast<std::size_t>(parts_.collective.rank())] = static_cast<float>(mine);
  MUSTER_TRY(sum(counts));
  const auto first = std::ranges::find_if(counts, [](float count) { return count_told(count) > 0; });
  if (first == counts.end()) return {};
  run.progress.first_not_finite = NotFinite{.step = seen.step,
                                            .steps = seen.steps,
                                            .rank = static_cast<int>(first - counts.begin()),
                                            .elements = count_told(*first)};
  return {};
}

std::string steps_of(const NotFinite& first) {
  if (first.steps <= 1) return fmt::format("at step {}", first.step);
  return fmt::format("in steps {} to {}", first.step - first.steps + 1, first.step);
}

}  // namespace muster::worker
