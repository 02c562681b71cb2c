#pragma once  // worker/nccl/communicator.h: one communicator of NCCL: the machine's calls, made beside its
              // caller
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "worker/nccl/call_lane.h"
#include "worker/nccl/comm_machine.h"
#include "worker/nccl/library.h"

namespace muster::worker::nccl {

// GPU 0 of this process, one stream, and buffers that grow to the largest sum: `pinned` on the host and as
// much on the GPU. A sum goes host -> pinned -> GPU, all-reduce in place, GPU -> pinned -> host, in the
// stream's order; nothing waits for the GPU but by asking. Every method returns by its deadline whatever
// NCCL, the driver or a peer does (comm_machine.h); an abort that is then needed goes on beside. For one
// thread.
class Communicator {
 public:
  struct Place {
    int rank = 0;
    int size = 1;
    std::string self;  // "rank 1"
  };
  // Called every kLook while a call is waited for: an error breaks it off, as of a rank that is lost.
  using Watch = std::function<Status()>;
  static constexpr std::chrono::milliseconds kLook{2};

  Communicator(std::shared_ptr<const Library> library, Place place, std::chrono::milliseconds abort_time);
  ~Communicator();  // release, and as long as an abort may take
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // All ranks of `place`, with the id that rank 0 made. Errors: CommMachine's.
  [[nodiscard]] Status join(const UniqueId& id, const Watch& watch, Deadline deadline);
  // As child of `parent`, which is Ready or Kept and has these ranks and, besides, `excluded` (ranks of the
  // parent), whose operations under way end. The parent is done for. REQUIRES: library.can_shrink().
  [[nodiscard]] Status shrink(Communicator& parent, std::vector<int> excluded, const Watch& watch,
                              Deadline deadline);
  // Replaces values by their sum over the ranks.
  [[nodiscard]] Status sum(std::span<float> values, const Watch& watch, Deadline deadline);
  // After the last sum of all ranks: what is on its way arrives, then it is Empty.
  [[nodiscard]] Status finish(const Watch& watch, Deadline deadline);

  [[nodiscard]] bool can_be_parent() const {
    return machine_.state() == CommState::kReady || machine_.state() == CommState::kKept;
  }
  // Aborts what there is and waits for that. Errors: kInternal: the abort does not return.
  [[nodiscard]] Status close();

 private:
  struct Gpu;  // what calls touch; theirs, too
  struct Answer;
  [[nodiscard]] Status drive(const std::function<int(Gpu&)>& call, const Watch& watch);
  void issue(const std::function<int(Gpu&)>& call);
  void poll();
  void start_abort();
  void collect();

  std::shared_ptr<const Library> library_;
  Place place_;
  CommMachine machine_;
  std::shared_ptr<Gpu> gpu_;
  std::shared_ptr<Answer> answer_;  // of the call under way on lane_
  CallLane lane_;
  CallLane abort_lane_;
  bool aborting_ = false;  // abort_lane_ has the abort
};

}  // namespace muster::worker::nccl
