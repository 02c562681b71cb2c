#pragma once  // worker/nccl/call_lane.h: a thread for calls that may never return
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace muster::worker::nccl {

// Makes one call at a time on a thread of its own, so that whoever waits for it can stop waiting. No call of
// NCCL or of the CUDA runtime is known to return: with blocking=0, too, they wait for drivers, sockets and
// locks. A call owns all that it touches (shared_ptr), since it may outlive the lane. Used by one thread.
class CallLane {
 public:
  CallLane();
  ~CallLane();  // waits for the call up to kEndTime; one that hangs is left behind with its thread
  CallLane(const CallLane&) = delete;
  CallLane& operator=(const CallLane&) = delete;

  static constexpr std::chrono::milliseconds kEndTime{200};

  void start(std::function<void()> call);  // REQUIRES: idle
  [[nodiscard]] bool idle() const;
  // Waits until it is idle, or for `limit`; whether it is. What the call wrote is to be seen then.
  bool await(std::chrono::milliseconds limit);

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace muster::worker::nccl
