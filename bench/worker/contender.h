#pragma once  // bench/worker/contender.h: an all-reduce that takes part in the comparison
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace muster::bench {

class Contender {
 public:
  virtual ~Contender() = default;
  virtual void all_reduce(std::span<float> buffer) = 0;  // ends the process with a message when it fails
};

// Each process calls these with its own rank; `folder` is empty, on one file system, the same for all ranks.
[[nodiscard]] std::unique_ptr<Contender> make_muster(int rank, int size, const std::filesystem::path& folder,
                                                     bool encrypt);
[[nodiscard]] std::unique_ptr<Contender> make_gloo(int rank, int size, const std::filesystem::path& folder);

}  // namespace muster::bench
