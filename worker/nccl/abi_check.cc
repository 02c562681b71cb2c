// worker/nccl/abi_check.cc: holds nccl_abi.h to the vendor's headers, where a build has them; no code
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <type_traits>

#include "worker/nccl/nccl_abi.h"

namespace muster::worker::nccl {
namespace {

// The vendor's function, and the pointer by which it is called: as many parameters of as many bytes.
template <typename Mine, typename Theirs>
struct SameCall : std::false_type {};
template <typename Result, typename... Mine, typename Other, typename... Theirs>
struct SameCall<Result (*)(Mine...), Other (*)(Theirs...)> {
  static constexpr bool value = []() {
    if constexpr (sizeof...(Mine) != sizeof...(Theirs)) {
      return false;
    } else {
      return sizeof(Result) == sizeof(Other) && ((sizeof(Mine) == sizeof(Theirs)) && ...) &&
             ((std::is_pointer_v<Mine> == std::is_pointer_v<Theirs>)&&...);
    }
  }();
};
#define MUSTER_SAME_CALL(table, member, function) \
  static_assert(SameCall<decltype(table::member), decltype(&(function))>::value, #function)

MUSTER_SAME_CALL(NcclFunctions, get_version, ::ncclGetVersion);
MUSTER_SAME_CALL(NcclFunctions, get_unique_id, ::ncclGetUniqueId);
MUSTER_SAME_CALL(NcclFunctions, init_rank_config, ::ncclCommInitRankConfig);
MUSTER_SAME_CALL(NcclFunctions, get_async_error, ::ncclCommGetAsyncError);
MUSTER_SAME_CALL(NcclFunctions, all_reduce, ::ncclAllReduce);
MUSTER_SAME_CALL(NcclFunctions, finalize, ::ncclCommFinalize);
MUSTER_SAME_CALL(NcclFunctions, destroy, ::ncclCommDestroy);
MUSTER_SAME_CALL(NcclFunctions, abort, ::ncclCommAbort);
MUSTER_SAME_CALL(NcclFunctions, get_last_error, ::ncclGetLastError);
#if NCCL_VERSION_CODE >= 22703
MUSTER_SAME_CALL(NcclFunctions, shrink, ::ncclCommShrink);
static_assert(kShrinkAbort == NCCL_SHRINK_ABORT);
#endif

static_assert(kSuccess == ncclSuccess && kUnhandledCudaError == ncclUnhandledCudaError);
static_assert(kSystemError == ncclSystemError && kInternalError == ncclInternalError);
static_assert(kInvalidArgument == ncclInvalidArgument && kInvalidUsage == ncclInvalidUsage);
static_assert(kRemoteError == ncclRemoteError && kInProgress == ncclInProgress);
static_assert(kFloat32 == static_cast<int>(ncclFloat32) && kAddition == static_cast<int>(ncclSum));
static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId) && sizeof(Comm) == sizeof(ncclComm_t));

// A prefix of theirs, whose members stay where they are.
static_assert(sizeof(Config) <= sizeof(ncclConfig_t) && alignof(Config) == alignof(ncclConfig_t));
static_assert(offsetof(Config, magic) == offsetof(ncclConfig_t, magic));
static_assert(offsetof(Config, version) == offsetof(ncclConfig_t, version));
static_assert(offsetof(Config, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(offsetof(Config, net_name) == offsetof(ncclConfig_t, netName));
static_assert(offsetof(Config, split_share) == offsetof(ncclConfig_t, splitShare));
static_assert(kUndefined == NCCL_CONFIG_UNDEF_INT && Config{}.magic == NCCL_API_MAGIC);

MUSTER_SAME_CALL(CudaFunctions, get_device_count, ::cudaGetDeviceCount);
MUSTER_SAME_CALL(CudaFunctions, set_device, ::cudaSetDevice);
MUSTER_SAME_CALL(CudaFunctions, stream_create, ::cudaStreamCreateWithFlags);
MUSTER_SAME_CALL(CudaFunctions, stream_destroy, ::cudaStreamDestroy);
MUSTER_SAME_CALL(CudaFunctions, event_destroy, ::cudaEventDestroy);
MUSTER_SAME_CALL(CudaFunctions, event_query, ::cudaEventQuery);
MUSTER_SAME_CALL(CudaFunctions, free, ::cudaFree);
MUSTER_SAME_CALL(CudaFunctions, free_host, ::cudaFreeHost);
MUSTER_SAME_CALL(CudaFunctions, memcpy_async, ::cudaMemcpyAsync);
MUSTER_SAME_CALL(CudaFunctions, get_error_string, ::cudaGetErrorString);

static_assert(kCudaSuccess == cudaSuccess && kCudaNotReady == cudaErrorNotReady);
static_assert(kHostToDevice == cudaMemcpyHostToDevice && kDeviceToHost == cudaMemcpyDeviceToHost);
static_assert(kStreamNonBlocking == cudaStreamNonBlocking && kEventDisableTiming == cudaEventDisableTiming);

}  // namespace
}  // namespace muster::worker::nccl
