// worker/program/same_model.cc: rank 0's tensors on all ranks, compared by name and shape
#include "worker/program/same_model.h"

#include <fmt/format.h>

#include "worker/program/program_model.h"

namespace muster::program {
Status compare_models(worker::Collective& collective, const std::vector<TensorShape>& mine,
                      Deadline deadline) {
  std::vector<std::byte> bytes = write_tensors(mine);
  std::int64_t size = std::ssize(bytes);
  MUSTER_TRY(collective.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0, deadline));
  if (size < 0 || static_cast<std::uint64_t>(size) > kTensorsMax)
    return internal_error(
        fmt::format("rank 0 describes its model in {} bytes; is its image this worker's?", size));
  if (collective.rank() != 0) bytes.resize(static_cast<std::size_t>(size));
  MUSTER_TRY(collective.broadcast(bytes, 0, deadline));
  if (collective.rank() == 0) return {};
  MUSTER_ASSIGN(const std::vector<TensorShape> theirs, read_tensors(bytes));
  if (theirs == mine) return {};
  return invalid_argument(
      fmt::format("the program of rank 0 has a model with the hash {:.16}, that of rank {} one with {:.16}: "
                  "{}; all ranks "
                  "must build the same model",
                  hash_of(theirs), collective.rank(), hash_of(mine), first_difference(theirs, mine)));
}

}  // namespace muster::program
