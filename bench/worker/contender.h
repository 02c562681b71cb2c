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

struct Place {  // of a process among the others
  int rank = 0;
  int size = 1;
  std::string address = "127.0.0.1";  // its own
  std::filesystem::path folder;       // empty, on one file system, the same for all ranks
  [[nodiscard]] Place in(const std::string& name) const {
    std::filesystem::create_directories(folder / name);
    return {rank, size, address, folder / name};
  }
};
// Ends the process with a message.
[[noreturn]] void die(const std::string& message);
// Writes this rank's "ip:port" into the folder, and waits for those of all.
[[nodiscard]] std::vector<std::string> meet(const Place& place, int port);

enum class Wires { kMemory, kTcp, kTls };
[[nodiscard]] std::unique_ptr<Contender> make_muster(Wires wires, const Place& place);
// Each rank sends the next one as many bytes as a ring's all-reduce does, over one connection, and does
// nothing else: what the links can do.
[[nodiscard]] std::unique_ptr<Contender> make_bare_stream(const Place& place);
[[nodiscard]] Contenders make_gloo(const Place& place);
// Where the process was started by mpirun; else there is none.
[[nodiscard]] Contenders make_mpi();

}  // namespace muster::bench
