// worker/nccl/group.cc: what the ranks tell each other before their GPUs meet
#include "worker/nccl/group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "worker/collective/mesh_part.h"

namespace muster::worker::nccl {
namespace {

using std::chrono::steady_clock;

// Makes `call` on the lane and waits for what it answers, or for a rank that is lost, or for the deadline. A
// lane on which a call hangs is replaced.
template <typename Answer>
Result<Answer> ask(std::unique_ptr<CallLane>& lane, std::string_view what, std::function<Answer()> call,
                   const Communicator::Watch& watch, Deadline deadline) {
  if (lane == nullptr) lane = std::make_unique<CallLane>();
  auto answer = std::make_shared<std::optional<Answer>>();
  lane->start([answer, call = std::move(call)] { answer->emplace(call()); });
  while (!lane->await(Communicator::kLook)) {
    Status seen = watch();
    if (seen && steady_clock::now() < deadline) continue;
    lane.reset();  // the call goes on by itself, or hangs
    if (!seen) return std::move(seen).error();
    return internal_error(
        fmt::format("topology NCCL: {} did not return in time: the GPU's driver hangs; this process ends, so "
                    "that its pod is replaced; look at the GPU of its node",
                    what));
  }
  return *std::move(*answer);
}

}  // namespace

// By rank. Floats, as the mesh sums nothing else: all are whole and below 2^24.
struct Group::Table {
  std::vector<float> versions;  // of NCCL; 0: none
  std::vector<float> held;      // membership of the communicator that it has; 0: none
};

Result<std::unique_ptr<Collective>> Group::meet(const Membership& membership, Mesh& mesh, Topology topology,
                                                Deadline deadline) {
  const Communicator::Watch watch = watch_of(mesh);
  const int size = mesh.size();
  const int rank = mesh.rank();
  auto control = std::make_unique<MeshCollective>(std::make_unique<MeshPart>(mesh, size), topology);
  const Status loaded = load(watch, deadline);
  // Of a failure that is no answer, such as a driver that hangs, the others hear by leave().
  if (!loaded && loaded.error().code != Code::kFailedPrecondition) return loaded.error();
  MUSTER_ASSIGN(const Table table, compare(*control, loaded, deadline));
  const std::vector<int> excluded = left_out(membership);
  const bool alike =
      std::ranges::all_of(table.held, [&](float held) { return held > 0 && held == table.held.front(); });
  auto next = std::make_unique<Communicator>(
      library_,
      // Without its address: ranks that are named with it are those that are lost (standstill.h).
      Communicator::Place{.rank = rank, .size = size, .self = fmt::format("rank {}", rank)},
      options_.abort_time);
  const bool mine = communicator_ != nullptr && communicator_->can_be_parent() &&
                    table.held.front() == static_cast<float>(held_.number);
  shrunk_ = alike && mine && !excluded.empty() && library_->can_shrink();
  if (shrunk_) {
    Status made = next->shrink(*communicator_, excluded, watch, deadline);
    MUSTER_TRY(close());  // where it failed, too: ranks may have come to different ends with it
    if (!made) return blamed(mesh, std::move(made).error());
  } else {
    MUSTER_TRY(close());
    MUSTER_ASSIGN(const UniqueId id, share_id(*control, watch, deadline));
    if (Status joined = next->join(id, watch, deadline); !joined)
      return blamed(mesh, std::move(joined).error());
  }
  communicator_ = std::move(next);
  held_ = membership;
  return std::unique_ptr<Collective>(
      std::make_unique<NcclCollective>(mesh, std::move(control), *communicator_));
}

Status Group::close() {
  held_ = {.number = 0, .peers = {}};
  const auto old = std::exchange(communicator_, nullptr);
  return old == nullptr ? Status() : old->close();
}

Status Group::load(const Communicator::Watch& watch, Deadline deadline) {
  if (library_ != nullptr) return {};
  using Loaded = Result<std::shared_ptr<const Library>>;
  MUSTER_ASSIGN(Loaded loaded,
                ask<Loaded>(
                    lane_, "loading NCCL and looking for GPUs",
                    [names = options_.names] { return Library::load(names); }, watch, deadline));
  MUSTER_ASSIGN(library_, std::move(loaded));
  return {};
}

Result<Group::Table> Group::compare(MeshCollective& control, const Status& mine, Deadline deadline) {
  const auto size = static_cast<std::size_t>(control.size());
  const auto rank = static_cast<std::size_t>(control.rank());
  std::vector<float> told(2 * size);
  if (mine) told[rank] = static_cast<float>(library_->version());
  if (communicator_ != nullptr && communicator_->can_be_parent())
    told[size + rank] = static_cast<float>(held_.number);
  const Status shared = control.all_reduce_sum(told, Traffic::kControl, deadline, 0);
  if (!mine) return mine.error();  // whatever a rank that was faster has left with
  MUSTER_TRY(shared);
  constexpr float kWhole = 1 << 24;  // up to which a float has every whole number
  if (!std::ranges::all_of(told, [](float each) { return each >= 0 && each < kWhole; }))
    return internal_error("topology NCCL: a rank tells of its NCCL what is no number");
  for (std::size_t other = 0; other < size; ++other) {
    if (told[other] == 0)
      return failed_precondition(fmt::format(
          "topology NCCL: rank {} has no NCCL or no GPU; its own last words say which. All workers need "
          "both, or write spec.synchronization.topology: Ring",
          other));
    if (told[other] != told[0])
      return failed_precondition(fmt::format(
          "topology NCCL: rank 0 has NCCL {}, rank {} has {}; use one image for all workers",
          version_words(static_cast<int>(told[0])), other, version_words(static_cast<int>(told[other]))));
  }
  const auto middle = told.begin() + static_cast<std::ptrdiff_t>(size);
  return Table{.versions = {told.begin(), middle}, .held = {middle, told.end()}};
}

Result<UniqueId> Group::make_id(const Communicator::Watch& watch, Deadline deadline) {
  using Made = std::pair<int, UniqueId>;
  MUSTER_ASSIGN(const Made made, ask<Made>(
                                     lane_, "ncclGetUniqueId",
                                     [library = library_] {
                                       Made made{kSuccess, {}};
                                       made.first = library->nccl().get_unique_id(&made.second);
                                       return made;
                                     },
                                     watch, deadline));
  if (made.first == kSuccess) return made.second;
  return internal_error(fmt::format(
      "topology NCCL: ncclGetUniqueId returned {}; see what NCCL says with NCCL_DEBUG=INFO, and whether "
      "NCCL_SOCKET_IFNAME names a network of this pod",
      result_words(made.first)));
}

Result<UniqueId> Group::share_id(MeshCollective& control, const Communicator::Watch& watch,
                                 Deadline deadline) {
  UniqueId id{};
  if (control.rank() == 0) {
    MUSTER_ASSIGN(id, make_id(watch, deadline));
  }
  MUSTER_TRY(control.broadcast(std::as_writable_bytes(std::span(id.bytes)), 0, deadline));
  return id;
}

// Ranks of the held membership that the next one is without, where that is all that it differs in; else none.
std::vector<int> Group::left_out(const Membership& next) const {
  std::vector<int> excluded;
  std::size_t found = 0;
  for (std::size_t i = 0; i < held_.peers.size(); ++i) {
    if (found < next.peers.size() && held_.peers[i] == next.peers[found]) {
      ++found;
    } else {
      excluded.push_back(static_cast<int>(i));
    }
  }
  return found == next.peers.size() ? excluded : std::vector<int>{};
}

}  // namespace muster::worker::nccl
