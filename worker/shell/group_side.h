#pragma once  // worker/shell/group_side.h: collectives for a program whose training loop is its own
              // (Part::kGroup)
#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "common/program/program_link.h"
#include "worker/collective/collective.h"

namespace muster::worker {

struct GroupProgress {
  std::int64_t calls = 0;
  std::string_view topology;                 // of sums
  TrafficBytes sent;                         // by this rank
  std::uint64_t payload_bytes_expected = 0;  // by the formulas: the topology's of sums, k(n - 1) of gathers
};

// Does what the program asks for until it says that it is done, on the memory that the two share. Like a
// collective's, a failure ends the group: the program is told why, and so is the caller. Errors:
// Collective's, and ProgramLink's; kInvalidArgument: what the program asks for is more than its memory;
// kAborted: `stopped`.
class GroupSide {
 public:
  GroupSide(program::ProgramLink& link, Collective& collective, std::chrono::milliseconds timeout)
      : link_(link), collective_(collective), timeout_(timeout) {}
  [[nodiscard]] Status serve(const std::function<bool()>& stopped,
                             const std::function<void(const GroupProgress&)>& show);

 private:
  [[nodiscard]] Status run(const program::Collective& asked);
  [[nodiscard]] Status gather(std::size_t bytes, Deadline deadline);

  program::ProgramLink& link_;
  Collective& collective_;
  std::chrono::milliseconds timeout_;  // of one call: a rank that does not come to it is lost
  GroupProgress progress_;
};

}  // namespace muster::worker
