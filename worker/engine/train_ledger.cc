// worker/engine/train_ledger.cc: which examples the completed steps were made of, and what was no number in
// them
#include <algorithm>
#include <iterator>

#include "worker/engine/train_run.h"

namespace muster::worker {
namespace {

// A row in two floats, whose sums over the ranks are exact: only one of these says more than 0.
constexpr std::int64_t kHalf = 1 << 16;

void write_rows(std::span<const std::int64_t> rows, std::span<float> to) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t high = rows[i] / kHalf;
    const std::int64_t low = rows[i] % kHalf;
    to[2 * i] = static_cast<float>(high);
    to[2 * i + 1] = static_cast<float>(low);
  }
}

std::vector<std::int64_t> read_rows(std::span<const float> from) {
  std::vector<std::int64_t> rows(from.size() / 2);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = static_cast<std::int64_t>(from[2 * i]) * kHalf + static_cast<std::int64_t>(from[2 * i + 1]);
  return rows;
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
  std::vector<float> counts(static_cast<std::size_t>(parts_.collective.size()));
  counts[rank] = static_cast<float>(mine.size());
  MUSTER_TRY(sum(counts));
  std::size_t all = 0;
  std::size_t before = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<std::size_t>(std::clamp(counts[i], 0.0F, 0x1p24F));
    all += count;
    if (i < rank) before += count;
  }
  std::vector<float> rows(2 * all);
  if (before + mine.size() <= all) write_rows(mine, std::span(rows).subspan(2 * before));
  MUSTER_TRY(sum(rows));
  const auto really = sorted(read_rows(rows));
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

// `all`: elements of all ranks' gradients, the same number on each; `mine`: of this one.
Status TrainLoop::note_not_finite(Run& run, std::int64_t step, std::int64_t all, std::int64_t mine) {
  run.progress.not_finite += all;
  run.progress.mine_not_finite += mine;
  if (all == 0 || run.progress.first_not_finite) return {};
  std::vector<float> counts(static_cast<std::size_t>(parts_.collective.size()));
  counts[static_cast<std::size_t>(parts_.collective.rank())] = static_cast<float>(mine);
  MUSTER_TRY(sum(counts));
  const auto first = std::ranges::find_if(counts, [](float count) { return count > 0; });
  if (first == counts.end()) return {};
  run.progress.first_not_finite = {.step = step,
                                   .rank = static_cast<int>(first - counts.begin()),
                                   .elements = static_cast<std::int64_t>(*first)};
  return {};
}

}  // namespace muster::worker
