// worker/gpu/xid.cc: the table
#include "worker/gpu/xid.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace muster::worker::gpu {
namespace {

struct Known {
  std::uint64_t xid;
  bool needs_another;
  std::string_view words;
};

constexpr std::array kKnown{
    Known{13, false, "a fault of the program on it"},
    Known{31, false, "a fault of the program in its memory"},
    Known{43, false, "it stopped the program"},
    Known{45, false, "the program was ended before"},
    Known{48, true, "an error in its memory that cannot be corrected"},
    Known{62, true, "its microcontroller has halted"},
    Known{63, false, "a row of its memory was replaced"},
    Known{64, true, "a row of its memory cannot be replaced"},
    Known{74, true, "an error of its NVLink"},
    Known{79, true, "it has fallen off the bus"},
    Known{94, false, "a contained error in its memory"},
    Known{95, true, "an uncontained error in its memory"},
    Known{110, true, "a security fault"},
    Known{119, true, "its system processor does not answer"},
    Known{120, true, "an error of its system processor"},
    Known{136, true, "an error of its links that cannot be corrected"},
    Known{140, true, "an error in its memory that was not recovered"},
    Known{143, true, "it could not be started"},
};

const Known* find(std::uint64_t xid) {
  const auto* const found = std::ranges::find(kKnown, xid, &Known::xid);
  return found == kKnown.end() ? nullptr : found;
}

}  // namespace

bool needs_another_gpu(std::uint64_t xid) {
  const Known* const known = find(xid);
  return known != nullptr && known->needs_another;
}

std::string xid_words(std::uint64_t xid) {
  const Known* const known = find(xid);
  return known == nullptr ? fmt::format("XID {}", xid) : fmt::format("XID {}, {}", xid, known->words);
}

}  // namespace muster::worker::gpu
