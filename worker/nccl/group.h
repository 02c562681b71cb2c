#pragma once  // worker/nccl/group.h: how the ranks of a membership come to a communicator
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "worker/nccl/nccl_collective.h"

namespace muster::worker::nccl {

// Of the process: the library, and the communicator of the newest membership, from which the next one's may
// be made. For one thread.
class Group {
 public:
  struct Options {
    Library::Names names;
    std::chrono::milliseconds abort_time{5'000};
  };
  explicit Group(Options options) : options_(std::move(options)) {}

  struct Membership {
    std::int64_t number = 1;         // >= 1
    std::vector<std::string> peers;  // addresses in order of rank
  };
  // All ranks of the mesh call it, with the same membership. They tell each other over the mesh, which has
  // proven who they are, what NCCL they have; then, where all hold the communicator of one earlier membership
  // that had these ranks in this order and others besides, and NCCL can shrink it, that is done; else rank 0
  // makes an id, sends it round the mesh, and all join anew. `topology`: of what goes over the mesh. The mesh
  // outlives what is returned, and so does the group; a collective of an earlier membership is done for.
  // Errors: kFailedPrecondition: this rank, or one that is named, has no NCCL or GPU, or their versions
  // differ; those of the mesh and of Communicator.
  [[nodiscard]] Result<std::unique_ptr<Collective>> meet(const Membership& membership, Mesh& mesh,
                                                         Topology topology, Deadline deadline);
  // What is left over of the last membership is aborted. Errors: kInternal, Communicator::close's: the
  // process is to end.
  [[nodiscard]] Status close();

  [[nodiscard]] const Library* library() const { return library_.get(); }  // nullptr: not loaded
  [[nodiscard]] bool shrunk() const { return shrunk_; }  // the newest communicator was made of an earlier one

 private:
  struct Table;
  [[nodiscard]] Status load(const Communicator::Watch& watch, Deadline deadline);
  [[nodiscard]] Result<UniqueId> make_id(const Communicator::Watch& watch, Deadline deadline);
  [[nodiscard]] Result<UniqueId> share_id(MeshCollective& control, const Communicator::Watch& watch,
                                          Deadline deadline);
  [[nodiscard]] Result<Table> compare(MeshCollective& control, const Status& mine, Deadline deadline);
  [[nodiscard]] std::vector<int> left_out(const Membership& next) const;

  Options options_;
  std::shared_ptr<const Library> library_;
  std::unique_ptr<CallLane> lane_;  // for what may hang before there is a communicator
  std::unique_ptr<Communicator> communicator_;
  Membership held_{.number = 0, .peers = {}};  // of communicator_; number 0: none
  bool shrunk_ = false;
};

}  // namespace muster::worker::nccl
