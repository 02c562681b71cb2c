#pragma once  // device/shell/client_program.h: the clients of a pod, trained by a program of the user's own
#include <functional>
#include <string>

#include "common/program/program_link.h"
#include "common/spec/federation.h"
#include "device/client_round.h"
#include "device/shell/fleet.h"
#include "learning/local_training.h"

namespace muster::device {

// One after another: a program has one interpreter and one model. All methods for the thread of the fleet's
// one slot, but failure().
class ClientProgram {
 public:
  // `link`, which has a program, outlives it.
  ClientProgram(program::ProgramLink& link, const spec::Federation& federation)
      : link_(link), federation_(federation) {}

  // Takes the program's model. Errors: ProgramLink::meet's.
  [[nodiscard]] Status meet(std::int32_t first_client, std::int32_t clients, Deadline deadline);
  [[nodiscard]] std::size_t parameter_count() const {
    return static_cast<std::size_t>(link_.model().parameters);
  }

  // Trainer: the client's update by the program. Errors: kAborted: `cancelled` says so, as when the program
  // has not come to its end; what it comes to later counts no more, and the next client waits for it. Others:
  // what the program has told of this client (its exception), or what is wrong with its update, by the
  // tensor's name.
  [[nodiscard]] Result<learning::LocalUpdate> train(std::int32_t client, const TaskTicket& task,
                                                    std::span<const float> global,
                                                    const std::function<bool()>& cancelled);
  // The program is gone, or so many trainings in a row came to no end: it hangs. Any thread.
  [[nodiscard]] Status failure();

  static constexpr int kUnansweredMax = 3;

 private:
  [[nodiscard]] Status await_free(const std::function<bool()>& cancelled);
  [[nodiscard]] Result<program::ProgramLink::Message> await_answer(const std::function<bool()>& cancelled);
  [[nodiscard]] Result<learning::LocalUpdate> update_of(const program::Frame& frame, std::int32_t client,
                                                        std::span<const float> global) const;

  program::ProgramLink& link_;
  const spec::Federation& federation_;
  std::int64_t serial_ = 0;  // of the last question
  bool busy_ = false;        // whose answer has not come
  std::atomic<int> unanswered_ = 0;
};

}  // namespace muster::device
