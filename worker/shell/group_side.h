#pragma once  // worker/shell/group_side.h: collectives for a program whose training loop is its own
              // (Part::kGroup)
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "common/program/program_link.h"
#include "common/spec/training.h"
#include "worker/collective/collective.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker {

inline constexpr std::int64_t kSumsMax = 4096;  // of a program that may be compressed: buckets, by number

struct GroupProgress {
  std::int64_t calls = 0;
  std::int64_t compressed_calls = 0;         // of them those that may be compressed
  std::string_view topology;                 // of sums
  TrafficBytes sent;                         // by this rank
  std::uint64_t payload_bytes_expected = 0;  // by the formulas: the topology's of sums, k(n - 1) of gathers,
                                             // the codec's of compressed sums
};

// Does what the program asks for until it says that it is done, on the memory that the two share. Like a
// collective's, a failure ends the group: the program is told why, and so is the caller. Errors:
// Collective's, and ProgramLink's; kInvalidArgument: what the program asks for is more than its memory;
// kAborted: `stopped`.
class GroupSide {
 public:
  // compression: of the sums that the program lets be compressed; none by low rank, which needs layers.
  GroupSide(program::ProgramLink& link, Collective& collective, std::chrono::milliseconds timeout,
            spec::Compression compression = {}, std::uint64_t seed = 0)
      : link_(link),
        collective_(collective),
        timeout_(timeout),
        compression_(std::move(compression)),
        seed_(seed) {}
  [[nodiscard]] Status serve(const std::function<bool()>& stopped,
                             const std::function<void(const GroupProgress&)>& show);

 private:
  [[nodiscard]] Status run(const program::Collective& asked);
  [[nodiscard]] Status compressed_sum(std::span<float> values, std::int64_t number);
  [[nodiscard]] Status gather(std::size_t bytes, Deadline deadline);

  program::ProgramLink& link_;
  Collective& collective_;
  std::chrono::milliseconds timeout_;  // of one call: a rank that does not come to it is lost
  GroupProgress progress_;
  spec::Compression compression_;
  std::uint64_t seed_;
  struct Sum {  // of a number of the program's: it keeps what was left out
    std::size_t count = 0;
    std::int64_t steps = 0;
    std::unique_ptr<GradientSum> sum;
  };
  std::map<std::int64_t, Sum> sums_;
};

}  // namespace muster::worker
