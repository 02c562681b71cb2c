// worker/nccl/communicator.cc: which call is made on which lane, and what becomes of its result
#include "worker/nccl/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace muster::worker::nccl {
namespace {

using std::chrono::steady_clock;

// A poll asks for so long before it says that the work is still under way.
constexpr std::chrono::milliseconds kPollTime{20};
constexpr std::chrono::milliseconds kAskTime{200};  // a question that takes longer hangs
constexpr int kAsks = 200;                          // without sleeping: some 10 us in which a small sum ends
constexpr std::chrono::microseconds kBetweenAsks{20};  // then

}  // namespace

// Calls of the lane use it one after the other. `comm` is the abort's, too, which may be made while another
// call hangs, as NCCL allows, but not while one asks for the state of what it frees.
struct Communicator::Gpu {
  std::shared_ptr<const Library> library;
  std::atomic<Comm> comm = nullptr;    // whoever aborts it takes it out
  std::atomic<bool> given_up = false;  // nobody waits for the work any more
  std::atomic<bool> asking = false;    // a call asks for the state of `comm`
  std::atomic<bool> unfreed = false;   // an abort has not returned
  void* stream = nullptr;
  void* done = nullptr;  // event behind the last copy
  void* pinned = nullptr;
  void* memory = nullptr;
  std::size_t capacity = 0;  // bytes of both
  std::size_t bytes = 0;     // of the sum under way; 0: none

  ~Gpu() {
    if (comm.load() != nullptr || unfreed.load()) return;  // what NCCL may still touch is left
    const CudaFunctions& cuda = library->cuda();
    if (stream != nullptr) (void)cuda.stream_destroy(stream);
    if (done != nullptr) (void)cuda.event_destroy(done);
    if (pinned != nullptr) (void)cuda.free_host(pinned);
    if (memory != nullptr) (void)cuda.free(memory);
  }
  [[nodiscard]] int open() {
    const CudaFunctions& cuda = library->cuda();
    if (cuda.set_device(0) != kCudaSuccess) return kUnhandledCudaError;
    if (stream == nullptr && cuda.stream_create(&stream, kStreamNonBlocking) != kCudaSuccess)
      return kUnhandledCudaError;
    if (done == nullptr && cuda.event_create(&done, kEventDisableTiming) != kCudaSuccess)
      return kUnhandledCudaError;
    return kSuccess;
  }
  [[nodiscard]] int reserve(std::size_t wanted) {
    if (wanted <= capacity) return kSuccess;
    const CudaFunctions& cuda = library->cuda();
    if (pinned != nullptr) (void)cuda.free_host(std::exchange(pinned, nullptr));
    if (memory != nullptr) (void)cuda.free(std::exchange(memory, nullptr));
    capacity = 0;
    if (cuda.host_alloc(&pinned, wanted, 0) != kCudaSuccess) return kUnhandledCudaError;
    if (cuda.malloc(&memory, wanted) != kCudaSuccess) return kUnhandledCudaError;
    capacity = wanted;
    return kSuccess;
  }
  // All of it is enqueued; `done` is behind the last copy. A non-blocking communicator that says "in
  // progress" has enqueued nothing yet: what is to come behind it waits.
  [[nodiscard]] int sum(std::size_t elements) {
    const CudaFunctions& cuda = library->cuda();
    if (cuda.memcpy_async(memory, pinned, bytes, kHostToDevice, stream) != kCudaSuccess)
      return kUnhandledCudaError;
    int result = with_comm([&](Comm of) {
      return library->nccl().all_reduce(memory, memory, elements, kFloat32, kAddition, of, stream);
    });
    while (result == kInProgress && !given_up.load()) {
      result = ask();
      if (result == kInProgress) std::this_thread::sleep_for(kBetweenAsks);
    }
    if (result != kSuccess) return result;
    if (cuda.memcpy_async(pinned, memory, bytes, kDeviceToHost, stream) != kCudaSuccess ||
        cuda.event_record(done, stream) != kCudaSuccess)
      return kUnhandledCudaError;
    return kSuccess;
  }
  // A call on the communicator, unless it was given up: an abort waits for it, up to kAskTime.
  template <typename Call>
  [[nodiscard]] int with_comm(const Call& call) {
    asking = true;
    Comm const of = comm.load();
    const int result = of == nullptr || given_up.load() ? kInternalError : call(of);
    asking = false;
    return result;
  }
  // The state of the communicator.
  [[nodiscard]] int ask() {
    return with_comm([this](Comm of) {
      int state = kInProgress;
      const int asked = library->nccl().get_async_error(of, &state);
      return asked == kSuccess ? state : asked;
    });
  }
  [[nodiscard]] std::string last_words() {
    asking = true;
    Comm const of = comm.load();  // of none it tells the last of any
    const char* const told = library->nccl().get_last_error(of);
    std::string words = told == nullptr ? "" : told;
    asking = false;
    return words;
  }
  // Once, by whoever comes first. One that does not return leaves `unfreed`.
  void abort() {
    Comm const of = comm.exchange(nullptr);
    if (of == nullptr) return;
    unfreed = true;
    const Instant until = steady_clock::now() + kAskTime;
    while (asking.load() && steady_clock::now() < until) std::this_thread::sleep_for(kBetweenAsks);
    if (library->nccl().abort(of) == kSuccess) unfreed = false;
  }
  // Of a call that makes a communicator. It may have come too late.
  [[nodiscard]] int made(Comm of, int result) {
    comm = of;
    if (given_up.load()) abort();
    return result;
  }
};

struct Communicator::Answer {
  enum class Kind { kIssue, kPoll } kind = Kind::kIssue;
  int result = kSuccess;
  bool done = false;
  std::string words;
};

namespace {

bool is_error(int result) { return result != kSuccess && result != kInProgress; }

}  // namespace

Communicator::Communicator(std::shared_ptr<const Library> library, Place place,
                           std::chrono::milliseconds abort_time)
    : library_(std::move(library)),
      place_(std::move(place)),
      machine_({.self = place_.self, .can_shrink = library_->can_shrink(), .abort_time = abort_time}),
      gpu_(std::make_shared<Gpu>()) {
  gpu_->library = library_;
}

// Freeing waits for the GPU, too: it is another call that may never return.
Communicator::~Communicator() {
  (void)close();
  if (abort_lane_.idle()) abort_lane_.start([gpu = std::move(gpu_)] {});
}

Status Communicator::join(const UniqueId& id, const Watch& watch, Deadline deadline) {
  machine_.begin(Work::kJoin, 0, deadline);
  return drive(
      [id, rank = place_.rank, size = place_.size](Gpu& gpu) {
        if (const int opened = gpu.open(); opened != kSuccess) return opened;
        Config config{.blocking = 0};
        Comm made = nullptr;
        const int result = gpu.library->nccl().init_rank_config(&made, size, id, rank, &config);
        return gpu.made(made, result);
      },
      watch);
}

Status Communicator::shrink(Communicator& parent, std::vector<int> excluded, const Watch& watch,
                            Deadline deadline) {
  MUSTER_CHECK(library_->can_shrink() && parent.can_be_parent());
  machine_.begin(Work::kShrink, 0, deadline);
  return drive(
      [of = parent.gpu_, excluded = std::move(excluded)](Gpu& gpu) mutable {
        if (const int opened = gpu.open(); opened != kSuccess) return opened;
        Config config{.blocking = 0};
        Comm made = nullptr;
        const int result =
            gpu.library->nccl().shrink(of->comm.load(), excluded.data(), static_cast<int>(excluded.size()),
                                       &made, &config, kShrinkAbort);
        return gpu.made(made, result);
      },
      watch);
}

Status Communicator::sum(std::span<float> values, const Watch& watch, Deadline deadline) {
  if (values.empty()) return {};
  machine_.begin(Work::kSum, values.size(), deadline);
  // A call that hangs must never touch the caller's memory. Pinned memory is its own; while that has to grow,
  // a copy.
  std::shared_ptr<std::vector<float>> copy;
  gpu_->bytes = values.size_bytes();
  if (gpu_->capacity >= values.size_bytes()) {
    std::memcpy(gpu_->pinned, values.data(), values.size_bytes());
  } else {
    copy = std::make_shared<std::vector<float>>(values.begin(), values.end());
  }
  MUSTER_TRY(drive(
      [copy, elements = values.size()](Gpu& gpu) {
        if (copy != nullptr) {
          if (const int room = gpu.reserve(gpu.bytes); room != kSuccess) return room;
          std::memcpy(gpu.pinned, copy->data(), gpu.bytes);
        }
        return gpu.sum(elements);
      },
      watch));
  std::memcpy(values.data(), gpu_->pinned, values.size_bytes());
  return {};
}

Status Communicator::finish(const Watch& watch, Deadline deadline) {
  if (machine_.state() != CommState::kReady) return {};
  machine_.begin(Work::kFinish, 0, deadline);
  gpu_->bytes = 0;
  MUSTER_TRY(drive(
      [](Gpu& gpu) { return gpu.with_comm([&gpu](Comm of) { return gpu.library->nccl().finalize(of); }); },
      watch));
  lane_.start([gpu = gpu_] {
    gpu->unfreed = true;
    if (gpu->library->nccl().destroy(gpu->comm.exchange(nullptr)) == kSuccess) gpu->unfreed = false;
  });
  (void)lane_.await(CallLane::kEndTime);
  return {};
}

Status Communicator::close() {
  machine_.release(steady_clock::now());
  while (machine_.state() == CommState::kAborting) {
    collect();
    if (machine_.next(steady_clock::now()) == CommMachine::Act::kAbort) {
      start_abort();
    }
    (void)abort_lane_.await(kLook);
  }
  if (machine_.state() != CommState::kStuck) return {};
  return internal_error(
      fmt::format("{}: NCCL does not end what hangs (ncclCommAbort has not returned): this process ends, so "
                  "that its pod is "
                  "replaced; look at the GPU and the driver of its node",
                  place_.self));
}

void Communicator::start_abort() {
  aborting_ = true;
  abort_lane_.start([gpu = gpu_] { gpu->abort(); });
}

// Takes what the lanes have done to the machine.
void Communicator::collect() {
  if (answer_ != nullptr && lane_.idle()) {
    const auto answer = std::exchange(answer_, nullptr);
    if (answer->kind == Answer::Kind::kIssue) {
      machine_.issued(answer->result, answer->words);
    } else {
      machine_.polled(answer->result, answer->done, answer->words);
    }
  }
  if (aborting_ && abort_lane_.idle()) {
    aborting_ = false;
    machine_.abort_returned(steady_clock::now());
  }
}

Status Communicator::drive(const std::function<int(Gpu&)>& call, const Watch& watch) {
  while (true) {
    collect();
    const auto act = machine_.next(steady_clock::now());
    if (machine_.outcome() && !*machine_.outcome()) gpu_->given_up = true;
    if (act == CommMachine::Act::kAbort) start_abort();
    if (machine_.outcome()) return *machine_.outcome();
    if (act == CommMachine::Act::kIssue) issue(call);
    if (act == CommMachine::Act::kPoll) poll();
    (void)lane_.await(kLook);
    if (Status seen = watch(); !seen) machine_.lost(seen.error(), steady_clock::now());
  }
}

void Communicator::issue(const std::function<int(Gpu&)>& call) {
  answer_ = std::make_shared<Answer>();
  lane_.start([gpu = gpu_, answer = answer_, call] {
    answer->result = call(*gpu);
    if (is_error(answer->result)) answer->words = gpu->last_words();
  });
}

void Communicator::poll() {
  answer_ = std::make_shared<Answer>();
  answer_->kind = Answer::Kind::kPoll;
  lane_.start([gpu = gpu_, answer = answer_] {
    const Instant until = steady_clock::now() + kPollTime;
    for (int asks = 0; !gpu->given_up.load() && steady_clock::now() < until; ++asks) {
      answer->result = gpu->ask();
      answer->done = answer->result == kSuccess;
      if (answer->done && gpu->bytes > 0) {
        const int error = gpu->library->cuda().event_query(gpu->done);
        answer->done = error == kCudaSuccess;
        if (error != kCudaSuccess && error != kCudaNotReady) answer->result = kUnhandledCudaError;
      }
      if (is_error(answer->result)) answer->words = gpu->last_words();
      if (is_error(answer->result) || answer->done) return;
      if (asks > kAsks) std::this_thread::sleep_for(kBetweenAsks);
    }
  });
}

}  // namespace muster::worker::nccl
