#pragma once  // worker/nccl/nccl_abi.h: what Muster calls of NCCL and of the CUDA runtime, declared by itself
#include <climits>
#include <cstddef>

// The libraries are loaded at run time (ADR 23), so a build needs no header of theirs. Where it has them,
// abi_check.cc holds every number, size and offset here to them. Source: nccl.h 2.18 to 2.32,
// cuda_runtime_api.h 12 and 13.
namespace muster::worker::nccl {

// ncclResult_t.
inline constexpr int kSuccess = 0;
inline constexpr int kUnhandledCudaError = 1;
inline constexpr int kSystemError = 2;
inline constexpr int kInternalError = 3;
inline constexpr int kInvalidArgument = 4;
inline constexpr int kInvalidUsage = 5;
inline constexpr int kRemoteError = 6;
inline constexpr int kInProgress = 7;

inline constexpr int kFloat32 = 7;      // ncclDataType_t
inline constexpr int kAddition = 0;     // ncclRedOp_t
inline constexpr int kShrinkAbort = 1;  // NCCL_SHRINK_ABORT

struct UniqueId {  // ncclUniqueId
  char bytes[128];
};

using Comm = void*;  // ncclComm_t

// ncclConfig_t as of 2.18. Later versions append members, and take this one by its size and version.
inline constexpr int kUndefined = INT_MIN;
inline constexpr unsigned kConfigVersion = 21801;
struct Config {
  std::size_t size = sizeof(Config);
  unsigned magic = 0xcafebeefU;
  unsigned version = kConfigVersion;
  int blocking = kUndefined;
  int cga_cluster_size = kUndefined;
  int ctas_min = kUndefined;
  int ctas_max = kUndefined;
  const char* net_name = nullptr;
  int split_share = kUndefined;
};

inline constexpr int kVersionMin = 21801;        // non-blocking communicators by this configuration
inline constexpr int kShrinkVersionMin = 22703;  // ncclCommShrink

struct NcclFunctions {
  int (*get_version)(int* version) = nullptr;
  int (*get_unique_id)(UniqueId* id) = nullptr;
  int (*init_rank_config)(Comm* comm, int ranks, UniqueId id, int rank, Config* config) = nullptr;
  int (*get_async_error)(Comm comm, int* result) = nullptr;
  int (*all_reduce)(const void* send, void* receive, std::size_t count, int type, int operation, Comm comm,
                    void* stream) = nullptr;
  int (*finalize)(Comm comm) = nullptr;
  int (*destroy)(Comm comm) = nullptr;
  int (*abort)(Comm comm) = nullptr;
  const char* (*get_last_error)(Comm comm) = nullptr;
  // nullptr: the library is older than kShrinkVersionMin.
  int (*shrink)(Comm comm, int* excluded, int excluded_count, Comm* made, Config* config,
                int flags) = nullptr;
};

// cudaError_t and the flags of the CUDA runtime.
inline constexpr int kCudaSuccess = 0;
inline constexpr int kCudaInsufficientDriver = 35;
inline constexpr int kCudaNoDevice = 100;
inline constexpr int kCudaNotReady = 600;
inline constexpr int kHostToDevice = 1;
inline constexpr int kDeviceToHost = 2;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventDisableTiming = 2;

struct CudaFunctions {
  int (*get_device_count)(int* count) = nullptr;
  int (*set_device)(int device) = nullptr;
  int (*stream_create)(void** stream, unsigned flags) = nullptr;
  int (*stream_destroy)(void* stream) = nullptr;
  int (*event_create)(void** event, unsigned flags) = nullptr;
  int (*event_destroy)(void* event) = nullptr;
  int (*event_record)(void* event, void* stream) = nullptr;
  int (*event_query)(void* event) = nullptr;
  int (*malloc)(void** memory, std::size_t bytes) = nullptr;
  int (*free)(void* memory) = nullptr;
  int (*host_alloc)(void** memory, std::size_t bytes, unsigned flags) = nullptr;
  int (*free_host)(void* memory) = nullptr;
  int (*memcpy_async)(void* to, const void* from, std::size_t bytes, int kind, void* stream) = nullptr;
  const char* (*get_error_string)(int error) = nullptr;
};

}  // namespace muster::worker::nccl
