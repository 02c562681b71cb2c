#pragma once  // worker/nccl/library.h: NCCL and the CUDA runtime, found at run time
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "worker/nccl/nccl_abi.h"

namespace muster::worker::nccl {

// Stays loaded until the process ends: neither library can be unloaded while its threads run.
class Library {
 public:
  struct Names {  // looked for in this order, as dlopen does: LD_LIBRARY_PATH, then the system's folders
    std::vector<std::string> nccl{"libnccl.so.2"};
    std::vector<std::string> cuda{"libcudart.so.13", "libcudart.so.12"};
  };
  // Loads both and asks for the NCCL version and the GPUs of this process. May take seconds, and with a
  // broken driver for ever: call it where a deadline is kept (CallLane). Errors: kFailedPrecondition names
  // what is missing and the remedy.
  [[nodiscard]] static Result<std::shared_ptr<const Library>> load(const Names& names);

  [[nodiscard]] const NcclFunctions& nccl() const { return nccl_; }
  [[nodiscard]] const CudaFunctions& cuda() const { return cuda_; }
  [[nodiscard]] int version() const { return version_; }  // 23203: 2.32.3
  [[nodiscard]] int gpus() const { return gpus_; }        // that this process sees, >= 1
  [[nodiscard]] bool can_shrink() const { return nccl_.shrink != nullptr && version_ >= kShrinkVersionMin; }

 private:
  Library() = default;
  NcclFunctions nccl_;
  CudaFunctions cuda_;
  int version_ = 0;
  int gpus_ = 0;
};

[[nodiscard]] std::string version_words(int version);  // "2.32.3"
[[nodiscard]] std::string result_words(int result);    // "ncclSystemError (2)"

}  // namespace muster::worker::nccl
