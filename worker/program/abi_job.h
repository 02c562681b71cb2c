#pragma once  // worker/program/abi_job.h: what a muster_job is, and how it hears its worker; for the C ABI's
              // own sources
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/platform/mutex.h"
#include "common/platform/sealed_memory.h"
#include "common/program/channel.h"
#include "common/program/memory_plan.h"
#include "common/program/range.h"
#include "worker/program/alone.h"
#include "worker/program/muster_worker.h"

namespace muster::program {

// What is known of a gradient while it is computed: which tensors are final, and what of that is not told
// yet.
class Buckets {
 public:
  void know(const std::vector<TensorShape>& tensors);
  // A batch begins. `tell_from`: so many elements are worth a frame; 0: none is.
  void begin(std::int64_t tell_from);
  [[nodiscard]] bool are_wanted() const { return tell_from_ > 0; }
  // These tensors are final. What is to be told now: mostly nothing. Errors: kInvalidArgument.
  [[nodiscard]] Result<std::vector<Range>> add(std::int32_t first, std::int32_t count);

 private:
  std::vector<std::int64_t> offsets_{0};  // of each tensor, and of what would be behind the last
  std::vector<bool> final_;
  std::vector<Range> untold_;
  std::int64_t elements_ = 0;  // of these
  std::int64_t tell_from_ = 0;
};

// While a client trains nobody reads the socket: a thread beside looks for an end with a failure, such as
// that of a program that hangs, and ends the process by it, with its words as the last ones.
class HangWatch {
 public:
  explicit HangWatch(const Channel& channel) : channel_(channel), thread_([this] { run(); }) {}
  ~HangWatch();
  HangWatch(const HangWatch&) = delete;
  HangWatch& operator=(const HangWatch&) = delete;
  void training(bool now);  // a client's round is under way

 private:
  void run();
  const Channel& channel_;
  Mutex mutex_;
  Condition changed_;
  bool training_ MUSTER_GUARDED_BY(mutex_) = false;
  bool over_ MUSTER_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace muster::program

struct muster_job {  // NOLINT(readability-identifier-naming): the name of C
  std::string error;
  std::optional<muster::program::Channel> channel;  // absent: alone
  std::optional<muster::program::Alone> alone;      // once begun
  muster::program::Part part = muster::program::Part::kJob;
  muster::program::World world;
  muster::program::Federation federation;  // of clients
  muster::program::Round round;            // the last one that was asked for
  std::vector<muster::program::TensorShape> tensors;
  muster::SealedMemory memory;
  muster::program::MemoryPlan plan;
  std::int64_t examples = 0;
  std::vector<std::byte> body;        // of the last frame
  std::int32_t due = MUSTER_NOTHING;  // the question that waits for its answer
  muster::program::Buckets buckets;   // of the batch that is due
  bool begun = false;
  std::optional<std::int32_t> ended;
  std::string words;
  std::atomic<bool> stop = false;
  bool stop_told = false;
  std::int64_t reports = 0;        // that were sent,
  std::int64_t reports_heard = 0;  // and of these, that the last words know
  std::chrono::steady_clock::time_point heard = std::chrono::steady_clock::now();
  std::unique_ptr<muster::program::HangWatch> watch;  // of clients; goes before the channel
};

namespace muster::program {

inline constexpr std::chrono::seconds kBeginTime{660};  // until all pods of the job are there
inline constexpr std::chrono::seconds kSendTime{60};

[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Keeps why a call failed; -1.
int fail(muster_job& job, std::string why);
// No exception goes into a C program.
template <typename Work>
int guarded(muster_job* job, Work work) noexcept {
  if (job == nullptr) return -1;
  try {
    return work(*job);
  } catch (const std::exception& error) {
    try {
      job->error = error.what();
    } catch (...) {
    }
    return -1;
  }
}
// What a program measured, as it may be told: NaN where it is not. Errors: kInvalidArgument: no share of 1,
// or no loss that a mean can be made of. An accuracy that lies above 1 by float32's rounding alone becomes 1.
[[nodiscard]] Status check_measured(double loss, double& accuracy);
// One more tensor; muster_register_tensor.
int register_tensor(muster_job& job, const char* name, Type type, int32_t dimensions, const int64_t* shape);
// Answers the question that is due, by the function `name`.
int answer(muster_job& job, std::int32_t question, const char* name, const Frame& frame,
           std::span<const std::byte> body = {});
// 0, or -1: where the worker has ended the training, its last words are why.
int result(muster_job& job, const Status& status);

// As the container's termination message.
void write_last_words(const std::string& words);
// Connects, greets, and waits for the job's place in the world, or the federation that its clients are of.
// Errors: Channel's, and in words what else is wrong.
[[nodiscard]] Status connect(muster_job& job, const char* path, Part part);
// The next frame that says something, its body in job.body; nullopt: none until `deadline`. An end is noted.
// Errors: Channel's; kUnavailable: the worker has been silent for a minute.
[[nodiscard]] Result<std::optional<Frame>> receive(muster_job& job, Deadline deadline);
// The frame of this kind, which is due.
[[nodiscard]] Result<Frame> expect(muster_job& job, Kind kind);

}  // namespace muster::program
