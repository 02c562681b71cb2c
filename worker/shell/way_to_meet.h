#pragma once  // worker/shell/way_to_meet.h: how the ranks of a job come to their parameters, from the words
              // of its spec
#include <chrono>
#include <memory>
#include <optional>

#include "common/program/program_link.h"
#include "learning/dataset.h"
#include "learning/model.h"
#include "worker/engine/batches.h"
#include "worker/parallel/asynchronous.h"
#include "worker/parallel/gradient_sum.h"
#include "worker/parallel/local_steps.h"
#include "worker/parallel/part_codec.h"
#include "worker/shell/job.h"
#include "worker/shell/meeting.h"

namespace muster::worker {

struct WayToMeet {                                 // of one membership
  std::unique_ptr<learning::Optimizer> optimizer;  // where each rank has one
  std::unique_ptr<GradientSum> gradient_sum;
  std::unique_ptr<Synchronizer> synchronizer;
  AsynchronousUpdates* asynchronous = nullptr;  // the synchronizer, where it is that
  LocalSteps* local = nullptr;                  // likewise
};

struct MeetingTimes {
  std::chrono::milliseconds timeout{60'000};         // of one exchange
  std::chrono::milliseconds start_timeout{600'000};  // until all have begun
};

// `meeting`, `model` and `program`, which makes the optimizer's steps where there is one, outlive it. All
// ranks call it. Errors: kInvalidArgument; those of the collective.
[[nodiscard]] Result<WayToMeet> make_way_to_meet(const Job& job, Meeting& meeting, learning::Model& model,
                                                 const MeetingTimes& times, program::ProgramLink* program);

// Of parameter servers and their workers; nullopt: what they send each other is as it is.
[[nodiscard]] std::optional<PartCodecOptions> part_codec_of(const Job& job);

// The examples of the pod `index`, where each has its own. Errors: kInvalidArgument.
[[nodiscard]] Result<std::optional<OwnExamples>> own_examples_of(const Job& job, std::int64_t index,
                                                                 const learning::Dataset& data);

}  // namespace muster::worker
