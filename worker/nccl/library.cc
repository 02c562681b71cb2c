// worker/nccl/library.cc: symbols by name, and what is said where one is missing
#include "worker/nccl/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <string_view>

namespace muster::worker::nccl {
namespace {

constexpr std::string_view kOther = "or write spec.synchronization.topology: Ring";

Result<void*> open_first(const std::vector<std::string>& names, std::string_view what) {
  std::string tried;
  for (const std::string& name : names) {
    if (void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); handle != nullptr) return handle;
    const char* const why = dlerror();  // NOLINT(concurrency-mt-unsafe): of this thread
    tried += (tried.empty() ? "" : "; ") + std::string(why == nullptr ? name : why);
  }
  return failed_precondition(
      fmt::format("topology NCCL: {} cannot be loaded ({}); use an image that has it, or name its folder in "
                  "LD_LIBRARY_PATH, {}",
                  what, tried, kOther));
}

// Takes functions out of one library; remembers the first that it lacks.
class Symbols {
 public:
  explicit Symbols(void* handle) : handle_(handle) {}

  template <typename Function>
  void take(Function*& function, const char* name) {
    // What dlsym gives for a function is its address (POSIX).
    function = reinterpret_cast<Function*>(dlsym(handle_, name));  // NOLINT(*-reinterpret-cast)
    if (function == nullptr && missing_.empty()) missing_ = name;
  }
  [[nodiscard]] Status finish(std::string_view what) const {
    if (missing_.empty()) return {};
    return failed_precondition(
        fmt::format("topology NCCL: {} has no {}; use a newer one, {}", what, missing_, kOther));
  }

 private:
  void* handle_;
  std::string missing_;
};

Status take_nccl(void* handle, NcclFunctions& nccl) {
  Symbols symbols(handle);
  symbols.take(nccl.get_version, "ncclGetVersion");
  symbols.take(nccl.get_unique_id, "ncclGetUniqueId");
  symbols.take(nccl.init_rank_config, "ncclCommInitRankConfig");
  symbols.take(nccl.get_async_error, "ncclCommGetAsyncError");
  symbols.take(nccl.all_reduce, "ncclAllReduce");
  symbols.take(nccl.finalize, "ncclCommFinalize");
  symbols.take(nccl.destroy, "ncclCommDestroy");
  symbols.take(nccl.abort, "ncclCommAbort");
  symbols.take(nccl.get_last_error, "ncclGetLastError");
  MUSTER_TRY(symbols.finish("NCCL"));
  Symbols(handle).take(nccl.shrink, "ncclCommShrink");  // which older ones lack
  return {};
}

Status take_cuda(void* handle, CudaFunctions& cuda) {
  Symbols symbols(handle);
  symbols.take(cuda.get_device_count, "cudaGetDeviceCount");
  symbols.take(cuda.set_device, "cudaSetDevice");
  symbols.take(cuda.stream_create, "cudaStreamCreateWithFlags");
  symbols.take(cuda.stream_destroy, "cudaStreamDestroy");
  symbols.take(cuda.event_create, "cudaEventCreateWithFlags");
  symbols.take(cuda.event_destroy, "cudaEventDestroy");
  symbols.take(cuda.event_record, "cudaEventRecord");
  symbols.take(cuda.event_query, "cudaEventQuery");
  symbols.take(cuda.malloc, "cudaMalloc");
  symbols.take(cuda.free, "cudaFree");
  symbols.take(cuda.host_alloc, "cudaHostAlloc");
  symbols.take(cuda.free_host, "cudaFreeHost");
  symbols.take(cuda.memcpy_async, "cudaMemcpyAsync");
  symbols.take(cuda.get_error_string, "cudaGetErrorString");
  return symbols.finish("the CUDA runtime");
}

}  // namespace

Result<std::shared_ptr<const Library>> Library::load(const Names& names) {
  std::shared_ptr<Library> made(new Library);  // NOLINT(*-owning-memory): its constructor is private
  MUSTER_ASSIGN(void* const cuda, open_first(names.cuda, "the CUDA runtime"));
  MUSTER_TRY(take_cuda(cuda, made->cuda_));
  MUSTER_ASSIGN(void* const nccl, open_first(names.nccl, "NCCL"));
  MUSTER_TRY(take_nccl(nccl, made->nccl_));
  if (const int result = made->nccl_.get_version(&made->version_); result != kSuccess)
    return failed_precondition(fmt::format(
        "topology NCCL: NCCL does not tell its version: {}; use another, {}", result_words(result), kOther));
  if (made->version_ < kVersionMin)
    return failed_precondition(fmt::format("topology NCCL: NCCL {} is too old; use {} or newer, {}",
                                           version_words(made->version_), version_words(kVersionMin),
                                           kOther));
  const int error = made->cuda_.get_device_count(&made->gpus_);
  if (error != kCudaSuccess && error != kCudaNoDevice && error != kCudaInsufficientDriver)
    return internal_error(
        fmt::format("topology NCCL: the GPUs of this worker do not answer ({}); look at those of its node",
                    made->cuda_.get_error_string(error)));
  if (error != kCudaSuccess || made->gpus_ < 1)
    return failed_precondition(fmt::format(
        "topology NCCL: this worker sees no GPU ({}); ask for one in the limits of its container "
        "(nvidia.com/gpu: 1), {}",
        error == kCudaSuccess ? "the driver tells of none" : made->cuda_.get_error_string(error), kOther));
  return std::shared_ptr<const Library>(std::move(made));
}

std::string version_words(int version) {
  return fmt::format("{}.{}.{}", version / 10'000, version / 100 % 100, version % 100);
}

std::string result_words(int result) {
  constexpr std::array<std::string_view, 9> kNames{
      "ncclSuccess",       "ncclUnhandledCudaError", "ncclSystemError",
      "ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
      "ncclRemoteError",   "ncclInProgress",         "ncclTimeout"};
  if (result < 0 || static_cast<std::size_t>(result) >= kNames.size()) return fmt::format("error {}", result);
  return fmt::format("{} ({})", kNames[static_cast<std::size_t>(result)], result);
}

}  // namespace muster::worker::nccl
