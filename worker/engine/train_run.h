#pragma once  // worker/engine/train_run.h: what a TrainLoop keeps while it runs; for its own sources
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "worker/engine/batches.h"
#include "worker/engine/patience.h"
#include "worker/engine/rate.h"
#include "worker/engine/train_loop.h"

namespace muster::worker {

// Adds the time since it was made, or since the last call, to an activity's.
class Laps {
 public:
  Laps(const std::function<Instant()>& now, Progress& progress)
      : now_(now), progress_(progress), from_(now()) {}
  void add(Activity activity) {
    const Instant until = now_();
    progress_.seconds[static_cast<std::size_t>(activity)] +=
        std::chrono::duration<double>(until - from_).count();
    from_ = until;
  }

 private:
  const std::function<Instant()>& now_;
  Progress& progress_;
  Instant from_;
};

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The rows of a completed step: those that it was to train on, less `fewer`, and `more` besides.
struct TrainLoop::Trained {
  std::uint64_t planned = 0;  // their digest
  std::vector<std::int64_t> more{};
  std::vector<std::int64_t> fewer{};
};

// What this rank has done for the step under way, or for several local ones, before the ranks exchange it.
struct TrainLoop::Worked {
  Instant begun;
  bool ordinary = false;   // it takes the time that such steps take
  std::int64_t steps = 1;  // of the training
  double loss = 0;         // mean over this rank's examples
  BatchShare share{};
  std::span<const std::int64_t> rows{};  // that this rank trained on
};

struct TrainLoop::Run {
  Run(const Parts& parts, Patience patience_of_steps)
      : patience(patience_of_steps),
        parameter_count(static_cast<std::size_t>(parts.model.parameter_count())),
        lent(parts.parameters),
        own_gradient(parts.gradient.empty() ? parameter_count + Synchronizer::kRiders : 0),
        gradient(parts.gradient.empty() ? std::span<float>(own_gradient) : parts.gradient),
        examples(parts.data.train.size()),
        global_batch(parts.training.batch_size *
                     (parts.asynchronous != nullptr ? 1 : parts.collective.size())),
        test_part(cut(parts.data.test,
                      slice_of(parts.data.test.size(), parts.collective.rank(), parts.collective.size()))) {}

  Patience patience;
  Learnt mine;           // until the ranks have agreed
  bool agreed = false;   // the rest holds what is learnt
  Rate rate{Instant{}};  // begins when the ranks do: who waits for the others' data does not train
  std::size_t parameter_count;
  std::span<float> lent;              // for the parameters; empty: none
  std::vector<float> own_parameters;  // else
  std::vector<float> own_gradient;
  std::span<float> parameters;
  std::span<float> gradient;  // and the riders behind it
  std::int64_t examples;      // of an epoch
  std::int64_t global_batch;
  learning::Examples test_part;

  std::int64_t step = 0;              // completed
  std::int64_t before = 0;            // completed before the last one, or the last window of local ones
  std::int64_t epoch = 0;             // completed
  std::int64_t into_epoch = 0;        // examples of the present epoch that are done
  std::int64_t segment_examples = 0;  // done of the segment or window under way, which `step` does not count
  std::int64_t next_batch =
      0;                  // examples of the next step, which some servers have done; 0: as many as usual
  double epoch_loss = 0;  // sum over the examples of the present or last epoch that this process saw
  double epoch_examples = 0;
  std::int64_t ordered_epoch = -1;
  std::vector<std::int64_t> order;                 // of ordered_epoch
  double trained_seconds = 0;                      // TrainingState's
  std::map<std::int64_t, std::string> topologies;  // likewise
  double looked_seconds = 0;                       // of gradients, when the ranks last compared theirs
  bool stop = false;
  learning::Ledger ledger;
  std::vector<std::int64_t> segment_rows;  // that this rank trained on in the segment or window under way
  void begin_with(std::vector<float> values) {
    if (lent.empty()) {
      own_parameters = std::move(values);
      parameters = own_parameters;
    } else {
      std::ranges::copy(values, lent.begin());
      parameters = lent;
    }
  }
  [[nodiscard]] std::vector<float> give_parameters() {
    return lent.empty() ? std::move(own_parameters) : std::vector<float>(lent.begin(), lent.end());
  }
  [[nodiscard]] std::int64_t position() const { return epoch * examples + into_epoch; }
  History history;
  Progress progress;
};

}  // namespace muster::worker
