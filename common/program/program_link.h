#pragma once  // common/program/program_link.h: the end of the connection to the program of the pod that
              // Muster's worker or device holds
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/platform/mutex.h"
#include "common/platform/pod_memory.h"
#include "common/platform/sealed_memory.h"
#include "common/program/channel.h"
#include "common/program/memory_plan.h"
#include "common/program/range.h"

namespace muster::program {

// One program a pod. All methods but the constructor are for the worker's own thread, unless they say
// otherwise, and whoever waits in one reads what the program sends; a thread of the link's tells the program
// that the worker lives, and reads when nobody does, so that what comes unasked is heard soon. Nothing that
// the program sends does more than end the training of this pod.
//
// Errors: kInternal: the program has ended, or does not answer in time: another try may fare better.
// kInvalidArgument, kDataLoss: what it tells is wrong. The first error stays (failure()).
class ProgramLink {
 public:
  struct Options {
    std::string path;                                 // of the socket
    std::function<void()> stop_asked = [] {};         // on a thread of the link's
    std::size_t riders = 0;                           // floats behind the gradient
    std::chrono::milliseconds answer{600'000};        // of the program, to anything
    std::uint64_t memory_max = memory_of_this_pod();  // bytes that its parameters and gradient may take
  };
  struct Model {
    std::vector<TensorShape> tensors;
    std::int64_t parameters = 0;  // P
    std::int64_t examples = 0;
    std::int64_t batch_size = 0;   // that it asked for; 0: none
    std::int64_t fingerprint = 0;  // of the examples; 0: not told
    std::string optimizer;         // JSON of spec.training.optimizer, for parameter servers; else empty
  };
  // Whoever connects first is the program; until meet() it waits.
  [[nodiscard]] static Result<std::unique_ptr<ProgramLink>> listen(Options options);
  ~ProgramLink();
  ProgramLink(const ProgramLink&) = delete;
  ProgramLink& operator=(const ProgramLink&) = delete;

  // Waits for the program, tells it the world or the federation, takes its model and gives it memory, with
  // its initial parameters in it. A world is for programs that train (Part::kJob) or share what they want to
  // (kGroup: part() says which; the model is then its room for one collective), a federation for clients.
  [[nodiscard]] Status meet(const World& world, Deadline deadline);
  [[nodiscard]] Status meet(const Federation& federation, Deadline deadline);
  [[nodiscard]] Part part() const { return part_; }            // after meet
  [[nodiscard]] const Model& model() const { return model_; }  // likewise
  [[nodiscard]] std::span<float> parameters() const;           // [P]
  [[nodiscard]] std::span<float> gradient() const;             // [P + riders]

  // For the batches to come.
  void place(const Batch& batch) { batch_ = batch; }
  // The mean gradient over the examples `rows`, in gradient(). Returns their mean loss: the last one that was
  // told. `ready`: hears meanwhile, on this thread, what the program tells of elements that are final, at
  // least `tell_from` of them together.
  using Ready = std::function<void(std::size_t first, std::size_t size)>;
  [[nodiscard]] Result<double> gradient_of(std::span<const std::int64_t> rows, const Ready& ready = {},
                                           std::int64_t tell_from = 0);
  [[nodiscard]] Status step();
  [[nodiscard]] Result<std::vector<std::byte>> state();
  [[nodiscard]] Status take(std::span<const std::byte> state);

  struct Message {
    Frame frame;
    std::vector<std::byte> body;
  };
  // For rounds and groups. A frame to the program; what it says next, whatever that is: nullopt: nothing
  // until `deadline`, which is no error.
  [[nodiscard]] Status tell(const Frame& frame, std::span<const std::byte> body = {}, int descriptor = -1);
  [[nodiscard]] Result<std::optional<Message>> next(Deadline deadline);

  void give_up(Error why) { static_cast<void>(failed(std::move(why))); }  // it cannot be gone on with

  // Tells the program that its training is over, with its exit code and last words, as soon as one is there,
  // also again with other words. Waits for at most `patience`.
  void end(int exit_code, const std::string& words, std::chrono::milliseconds patience);

  [[nodiscard]] std::optional<double> told_accuracy();  // since the call before; any thread
  [[nodiscard]] std::int64_t reports();                 // so far; any thread
  [[nodiscard]] bool is_connected();                    // a program has come; any thread
  [[nodiscard]] bool gone();                            // it has closed its end; any thread
  [[nodiscard]] Status failure() const { return failure_; }

 private:
  ProgramLink(Options options, FileDescriptor listener);
  void run();  // of the thread
  void read(Deadline deadline);
  [[nodiscard]] Status hear_next(Deadline deadline);
  [[nodiscard]] bool accept_program();
  [[nodiscard]] Status hear(const Frame& frame);
  [[nodiscard]] Status greet(const Frame& greeting, bool of_clients, Deadline deadline);
  [[nodiscard]] Result<Message> await(Kind kind, Deadline deadline);
  void pass_on(const Ready& ready, Deadline deadline);
  [[nodiscard]] Status register_model(Deadline deadline);
  [[nodiscard]] Error failed(Error error);

  Options options_;
  FileDescriptor listener_;
  std::unique_ptr<Channel> channel_;  // once `connected_`
  Part part_ = Part::kJob;
  Model model_;
  SealedMemory memory_;
  MemoryPlan plan_;
  Batch batch_;
  double loss_ = 0;  // the last one that was told
  Status failure_;

  Mutex mutex_;
  Condition changed_;
  Condition nap_;  // of the thread
  bool connected_ MUSTER_GUARDED_BY(mutex_) = false;
  bool reading_ MUSTER_GUARDED_BY(mutex_) = false;  // one of the two threads reads the channel
  Instant yields_until_ MUSTER_GUARDED_BY(mutex_){};
  std::optional<Message> inbox_ MUSTER_GUARDED_BY(mutex_);
  std::optional<Error> closed_ MUSTER_GUARDED_BY(mutex_);
  std::vector<Range> final_ MUSTER_GUARDED_BY(mutex_);  // of the gradient; told, and not passed on
  std::optional<double> told_loss_ MUSTER_GUARDED_BY(mutex_);
  std::optional<double> told_accuracy_ MUSTER_GUARDED_BY(mutex_);
  std::int64_t reports_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::size_t state_of_ MUSTER_GUARDED_BY(mutex_) = 0;  // so many parameters
  Mutex sending_;                                       // one frame after the other
  std::atomic<bool> over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace muster::program
