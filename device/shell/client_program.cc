// device/shell/client_program.cc: a round as a question to the program of the pod
#include "device/shell/client_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "common/base/random.h"
#include "common/base/text.h"

namespace muster::device {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{50};  // how soon the end of a round is seen
constexpr std::size_t kReasonBytesMax = 400;
constexpr std::uint64_t kSeedMask = (std::uint64_t{1} << 62) - 1;  // for languages whose integers are signed

std::string text_of(const std::vector<std::byte>& body) {
  return {reinterpret_cast<const char*>(body.data()), body.size()};
}

}  // namespace

Status ClientProgram::meet(std::int32_t first_client, std::int32_t clients, Deadline deadline) {
  const spec::ClientTraining& training = federation_.training;
  return link_.meet(program::Federation{.first_client = first_client,
                                        .clients = clients,
                                        .total_clients = federation_.clients,
                                        .rounds = federation_.rounds.value_or(0),
                                        .seed = training.seed,
                                        .local_epochs = training.local_epochs,
                                        .batch_size = training.batch_size,
                                        .learning_rate = training.optimizer.learning_rate},
                    deadline);
}

Result<program::ProgramLink::Message> ClientProgram::await_answer(const std::function<bool()>& cancelled) {
  for (;;) {
    MUSTER_ASSIGN(auto message, link_.next(deadline_after(kLook)));
    if (message && message->frame.numbers[0] == serial_) {
      busy_ = false;
      unanswered_ = 0;
      return *std::move(message);
    }
    if (message) return data_loss("the program of this pod answers a question that was not asked");
    if (cancelled()) return aborted("the program has not come to its end");
  }
}

// The model lies in memory that the program reads while it trains.
Status ClientProgram::await_free(const std::function<bool()>& cancelled) {
  if (!busy_) return {};
  const auto late = await_answer(cancelled);
  return late ? Status() : Status(late.error());
}

Result<learning::LocalUpdate> ClientProgram::train(std::int32_t client, const TaskTicket& task,
                                                   std::span<const float> global,
                                                   const std::function<bool()>& cancelled) {
  const auto asked = [&]() -> Result<program::ProgramLink::Message> {
    MUSTER_TRY(await_free(cancelled));
    std::ranges::copy(global, link_.parameters().begin());
    std::ranges::fill(link_.gradient().first(global.size()), 0.0F);
    const auto left =
        std::chrono::duration_cast<milliseconds>(task.deadline - std::chrono::steady_clock::now());
    MUSTER_TRY(link_.tell(program::write_round(
        {.serial = ++serial_,
         .client = client,
         .round = task.round,
         .deadline_ms = std::max<std::int64_t>(0, left.count()),
         .seed = static_cast<std::int64_t>(hash_key(static_cast<std::uint64_t>(federation_.training.seed),
                                                    task.serial > 0 ? task.serial : task.round, client) &
                                           kSeedMask),
         .mu = task.settings.proximal_mu})));
    busy_ = true;
    return await_answer(cancelled);
  };
  auto answer = asked();
  if (!answer) {
    if (answer.error().code == Code::kAborted) ++unanswered_;
    return answer.error();
  }
  if (answer->frame.kind == program::Kind::kFailed)
    return internal_error("its program has failed: " +
                          printable(clip(text_of(answer->body), kReasonBytesMax)));
  if (answer->frame.kind != program::Kind::kUpdate)
    return data_loss("the program of this pod answers with something else than an update");
  return update_of(answer->frame, client, global);
}

Result<learning::LocalUpdate> ClientProgram::update_of(const program::Frame& frame, std::int32_t client,
                                                       std::span<const float> global) const {
  const std::int64_t examples = frame.numbers[1];
  if (examples < 1)
    return invalid_argument(
        fmt::format("client {} tells of {} examples; an update is of at least one", client, examples));
  learning::LocalUpdate update;
  update.examples = static_cast<std::uint64_t>(examples);
  if ((frame.numbers[2] & 1) != 0) update.loss = frame.reals[0];
  if ((frame.numbers[2] & 2) != 0) update.accuracy = frame.reals[1];
  const std::span<const float> trained = link_.gradient().first(global.size());
  update.delta.resize(global.size());
  std::size_t at = 0;
  for (const program::TensorShape& tensor : link_.model().tensors) {
    const std::size_t end = at + static_cast<std::size_t>(program::elements_of(tensor));
    for (; at < end; ++at) {
      update.delta[at] = trained[at] - global[at];
      if (!std::isfinite(update.delta[at]))
        return invalid_argument(
            fmt::format("the update of client {} has values that are not finite, in {}; lower "
                        "the learning rate",
                        client, program::words(tensor)));
    }
  }
  return update;
}

Status ClientProgram::failure() {
  if (link_.gone()) return internal_error("the program of this pod has ended; its container's log says why");
  if (unanswered_ < kUnansweredMax) return {};
  return internal_error(
      fmt::format("the program of this pod hangs: {} trainings in a row were due before they came "
                  "to an end; raise stragglers.deadlineSeconds if they take that long",
                  kUnansweredMax));
}

}  // namespace muster::device
