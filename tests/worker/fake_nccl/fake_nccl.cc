// tests/worker/fake_nccl/fake_nccl.cc: NCCL's and the CUDA runtime's symbols over the host's memory: real
// sums between threads and processes of one machine, and faults on demand (faults.h). A "GPU" is a thread
// that carries out what is enqueued on a stream
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <random>

#include "tests/worker/fake_nccl/faults.h"
#include "worker/nccl/nccl_abi.h"

#ifndef FAKE_NCCL_VERSION
#define FAKE_NCCL_VERSION 23203
#endif

namespace muster::fake {
namespace {

using worker::nccl::kInProgress;
using worker::nccl::kRemoteError;

constexpr int kRanksMax = 8;
constexpr std::size_t kPiece = 256 * 1024;  // floats that a rank lays out at once

void nap() { std::this_thread::sleep_for(std::chrono::microseconds(50)); }

// What the ranks of a communicator share, in a file in memory whose name is the unique id.
struct Region {
  std::atomic<int> joined;
  std::atomic<int> aborted;
  std::array<std::atomic<std::int64_t>, kRanksMax> laid;   // pieces that a rank has laid out
  std::array<std::atomic<std::int64_t>, kRanksMax> taken;  // and whose sum it has taken
  std::array<std::array<float, kPiece>, kRanksMax> values;
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

struct Communicator {
  std::string name;
  Region* region = nullptr;
  int rank = 0;
  int ranks = 1;
  int shrinks = 0;
  std::int64_t pieces = 0;
  std::atomic<bool> stopped = false;  // its operations end
  std::atomic<int> state = kInProgress;

  Communicator(std::string file, int of_rank, int of_ranks)
      : name(std::move(file)), rank(of_rank), ranks(of_ranks) {
    const int fd = open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(Region)) != 0) return;
    void* const memory = mmap(nullptr, sizeof(Region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) return;
    region = static_cast<Region*>(memory);
    ++region->joined;
  }
  ~Communicator() {
    unlink(name.c_str());
    if (region != nullptr) munmap(region, sizeof(Region));
  }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  template <typename Progress>
  bool all(const Progress& progress, std::int64_t wanted) {
    for (int other = 0; other < ranks; ++other) {
      while (progress[static_cast<std::size_t>(other)].load() < wanted) {
        if (stopped) return false;
        if (region->aborted > 0) {
          state = kRemoteError;
          return false;
        }
        nap();
      }
    }
    return true;
  }
  bool sum(const float* send, float* receive, std::size_t count) {
    const auto mine = static_cast<std::size_t>(rank);
    for (std::size_t first = 0; first < count; first += kPiece) {
      const std::size_t size = std::min(kPiece, count - first);
      ++pieces;
      std::memcpy(region->values[mine].data(), send + first, size * sizeof(float));
      region->laid[mine] = pieces;
      if (!all(region->laid, pieces)) return false;
      for (std::size_t i = 0; i < size; ++i) {
        float total = 0;
        for (int other = 0; other < ranks; ++other)
          total += region->values[static_cast<std::size_t>(other)][i];
        receive[first + i] = total;
      }
      region->taken[mine] = pieces;
      if (!all(region->taken, pieces)) return false;
    }
    return true;
  }
};

struct Event {
  std::atomic<bool> done = false;
};

class Stream {
 public:
  Stream() : thread_([this] { run(); }) {}
  ~Stream() {
    {
      const std::scoped_lock lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  void push(std::function<void()> work) {
    const std::scoped_lock lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_all();
  }

 private:
  void run() {
    while (true) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return over_ || !work_.empty(); });
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool over_ = false;
  std::thread thread_;
};

// Operations on streams keep it; an abort takes the caller's.
using Handle = std::shared_ptr<Communicator>;
Communicator& of(void* comm) { return **static_cast<Handle*>(comm); }

int make(const std::string& name, int rank, int ranks, void** made) {
  auto handle = std::make_unique<Handle>(std::make_shared<Communicator>(name, rank, ranks));
  if ((*handle)->region == nullptr) return worker::nccl::kSystemError;
  *made = handle.release();
  return kInProgress;
}

}  // namespace
}  // namespace muster::fake

using muster::fake::Communicator;
using muster::fake::Event;
using muster::fake::Faults;
using muster::fake::Handle;
using muster::fake::of;
using muster::fake::Stream;
using namespace muster::worker::nccl;  // NOLINT(google-build-using-namespace): numbers of the libraries

// NOLINTBEGIN(readability-identifier-naming, *-owning-memory): the names and the ownership of C libraries
#pragma GCC visibility push(default)
extern "C" {

void muster_fake_nccl_faults(const char* rules) { Faults::get().set(rules); }

int ncclGetVersion(int* version) {
  const auto rule = Faults::get().meet("ncclGetVersion", -1);
  if (rule.act == "fail") return rule.code;
  *version = FAKE_NCCL_VERSION;
  return kSuccess;
}

int ncclGetUniqueId(UniqueId* id) {
  const auto rule = Faults::get().meet("ncclGetUniqueId", -1);
  if (rule.act == "fail") return rule.code;
  std::random_device random;
  const std::string name = "/dev/shm/muster-fake-nccl-" + std::to_string(getpid()) + "-" +
                           std::to_string(random()) + std::to_string(random());
  std::memset(id->bytes, 0, sizeof(id->bytes));
  std::memcpy(id->bytes, name.data(), name.size());
  return kSuccess;
}

int ncclCommInitRankConfig(Comm* comm, int ranks, UniqueId id, int rank, Config* config) {
  const auto rule = Faults::get().meet("ncclCommInitRankConfig", rank);
  if (rule.act == "fail") return rule.code;
  if (config == nullptr || config->blocking != 0 || ranks > muster::fake::kRanksMax) return kInvalidArgument;
  const int result = muster::fake::make(id.bytes, rank, ranks, comm);
  if (result == kInProgress && rule.act == "async") of(*comm).state = rule.code;
  return result;
}

int ncclCommGetAsyncError(Comm comm, int* result) {
  Communicator& communicator = of(comm);
  const auto rule = Faults::get().meet("ncclCommGetAsyncError", communicator.rank);
  if (rule.act == "fail") return rule.code;
  if (communicator.state == kInProgress && communicator.region->joined >= communicator.ranks)
    communicator.state = kSuccess;
  *result = rule.act == "async" ? rule.code : communicator.state.load();
  return kSuccess;
}

int ncclAllReduce(const void* send, void* receive, std::size_t count, int type, int operation, Comm comm,
                  void* stream) {
  const Handle handle = *static_cast<Handle*>(comm);
  const auto rule = Faults::get().meet("ncclAllReduce", handle->rank);
  if (rule.act == "fail") return rule.code;
  if (type != kFloat32 || operation != kAddition) return kInvalidArgument;
  if (rule.act == "async") handle->state = rule.code;
  static_cast<Stream*>(stream)->push([=, stalls = rule.act == "stall" || rule.act == "async"] {
    while (stalls && !handle->stopped) muster::fake::nap();
    if (!stalls) (void)handle->sum(static_cast<const float*>(send), static_cast<float*>(receive), count);
  });
  return kSuccess;
}

int ncclCommFinalize(Comm comm) {
  const auto rule = Faults::get().meet("ncclCommFinalize", of(comm).rank);
  return rule.act == "fail" ? rule.code : kSuccess;
}

int ncclCommDestroy(Comm comm) {
  const auto rule = Faults::get().meet("ncclCommDestroy", of(comm).rank);
  if (rule.act == "fail") return rule.code;
  delete static_cast<Handle*>(comm);
  return kSuccess;
}

int ncclCommAbort(Comm comm) {
  const auto rule = Faults::get().meet("ncclCommAbort", of(comm).rank);
  if (rule.act == "fail") return rule.code;
  ++of(comm).region->aborted;
  of(comm).stopped = true;
  delete static_cast<Handle*>(comm);
  return kSuccess;
}

const char* ncclGetLastError(Comm /*comm*/) { return "the fake says so"; }

#if FAKE_NCCL_VERSION >= 22703
int ncclCommShrink(Comm comm, int* excluded, int excluded_count, Comm* made, Config* config, int flags) {
  Communicator& parent = of(comm);
  const auto rule = Faults::get().meet("ncclCommShrink", parent.rank);
  if (rule.act == "fail") return rule.code;
  if (config == nullptr || config->blocking != 0) return kInvalidArgument;
  if (flags == kShrinkAbort) parent.stopped = true;
  int rank = parent.rank;
  for (int i = 0; i < excluded_count; ++i) {
    if (excluded[i] == parent.rank) return kInvalidArgument;
    if (excluded[i] < parent.rank) --rank;
  }
  return muster::fake::make(parent.name + "s" + std::to_string(++parent.shrinks), rank,
                            parent.ranks - excluded_count, made);
}
#endif

int cudaGetDeviceCount(int* count) {
  const auto rule = Faults::get().meet("cudaGetDeviceCount", -1);
  if (rule.act == "fail") return rule.code;
  *count = 1;
  return kCudaSuccess;
}
int cudaSetDevice(int device) { return device == 0 ? kCudaSuccess : 101; }
int cudaStreamCreateWithFlags(void** stream, unsigned /*flags*/) {
  *stream = new Stream;
  return kCudaSuccess;
}
int cudaStreamDestroy(void* stream) {
  delete static_cast<Stream*>(stream);
  return kCudaSuccess;
}
int cudaEventCreateWithFlags(void** event, unsigned /*flags*/) {
  *event = new std::shared_ptr<Event>(std::make_shared<Event>());
  return kCudaSuccess;
}
int cudaEventDestroy(void* event) {
  delete static_cast<std::shared_ptr<Event>*>(event);
  return kCudaSuccess;
}
int cudaEventRecord(void* event, void* stream) {
  const auto mine = *static_cast<std::shared_ptr<Event>*>(event);
  mine->done = false;
  static_cast<Stream*>(stream)->push([mine] { mine->done = true; });
  return kCudaSuccess;
}
int cudaEventQuery(void* event) {
  const auto rule = Faults::get().meet("cudaEventQuery", -1);
  if (rule.act == "fail") return rule.code;
  return (*static_cast<std::shared_ptr<Event>*>(event))->done ? kCudaSuccess : kCudaNotReady;
}
int cudaMalloc(void** memory, std::size_t bytes) {
  const auto rule = Faults::get().meet("cudaMalloc", -1);
  if (rule.act == "fail") return rule.code;
  *memory = ::operator new(bytes);
  return kCudaSuccess;
}
int cudaFree(void* memory) {
  ::operator delete(memory);
  return kCudaSuccess;
}
int cudaHostAlloc(void** memory, std::size_t bytes, unsigned /*flags*/) { return cudaMalloc(memory, bytes); }
int cudaFreeHost(void* memory) { return cudaFree(memory); }
int cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, int /*kind*/, void* stream) {
  const auto rule = Faults::get().meet("cudaMemcpyAsync", -1);
  if (rule.act == "fail") return rule.code;
  static_cast<Stream*>(stream)->push([=] { std::memcpy(to, from, bytes); });
  return kCudaSuccess;
}
const char* cudaGetErrorString(int error) {
  return error == 100 ? "no CUDA-capable device is detected" : "an error";
}

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming, *-owning-memory)
