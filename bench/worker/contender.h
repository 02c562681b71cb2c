#pragma once  // bench/worker/contender.h: an all-reduce that takes part in the comparison
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace muster::bench {

class Contender {
 public:
  virtual ~Contender() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  // Once before the calls of a size, by all ranks.
  virtual void prepare(std::size_t /*elements*/) {}
  virtual void all_reduce(std::span<float> buffer) = 0;  // ends the process with a message when it fails
  // What it does at this size, for the table; empty: there is nothing to say.
  [[nodiscard]] virtual std::string note() const { return {}; }
};
using Contenders = std::vector<std::unique_ptr<Contender>>;

// Each process calls these with its own rank; `folder` is empty, on one file system, the same for all ranks.
enum class Wires { kMemory, kTcp, kTls };
[[nodiscard]] std::unique_ptr<Contender> make_muster(Wires wires, int rank, int size,
                                                     const std::filesystem::path& folder);
[[nodiscard]] Contenders make_gloo(int rank, int size, const std::filesystem::path& folder);
// Where the process was started by mpirun; else there is none.
[[nodiscard]] Contenders make_mpi();

}  // namespace muster::bench
