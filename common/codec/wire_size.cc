// common/codec/wire_size.cc
#include "common/codec/wire_size.h"

namespace muster::codec {

std::uint64_t all_reduce_bytes(const Codec& codec, std::size_t count, int rank, int ranks) {
  std::uint64_t scattered = 0;
  std::uint64_t gathered = 0;
  for (int peer = 0; peer < ranks; ++peer) {
    const auto slice = group_slice(static_cast<std::int64_t>(count), peer, ranks);
    const std::uint64_t frame = codec.max_wire_bytes(static_cast<std::size_t>(slice.size()));
    if (peer == rank)
      gathered = static_cast<std::uint64_t>(ranks - 1) * frame;
    else
      scattered += frame;
  }
  return scattered + gathered;
}

}  // namespace muster::codec
