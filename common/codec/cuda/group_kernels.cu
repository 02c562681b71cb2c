// common/codec/cuda/group_kernels.cu: a block a group, a thread a byte or a value
#include <cuda_runtime.h>

#include "common/codec/cuda/group_kernels.h"
#include "common/codec/group_arithmetic.h"
#include "common/codec/group_frame.h"

namespace muster::codec::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void encode_kernel(Format format, const float* values, std::size_t count, Key key,
                              std::uint8_t* out) {
  const std::size_t group = blockIdx.x;
  const std::size_t first = group * kGroupValues;
  const std::size_t size = count - first < kGroupValues ? count - first : kGroupValues;
  const float* const mine = values + first;
  std::uint8_t* const frame = out + group * group_bytes(format, kGroupValues);
  if (!format_has_scale(format)) {
    for (std::size_t i = threadIdx.x; i < size; i += kThreads)
      write_word(frame + 2 * i,
                 format == Format::kFloat16 ? half_of_float(mine[i]) : bfloat16_of_float(mine[i]), 2);
    return;
  }
  __shared__ unsigned largest;  // the same in any order
  if (threadIdx.x == 0) largest = 0;
  __syncthreads();
  for (std::size_t i = threadIdx.x; i < size; i += kThreads) atomicMax(&largest, magnitude_bits(mine[i]));
  __syncthreads();
  const GroupScale scale = group_scale(format, largest);
  if (threadIdx.x == 0) write_word(frame, bits_of(scale.written), 4);
  const std::size_t bytes = group_bytes(format, size) - sizeof(float);
  for (std::size_t at = threadIdx.x; at < bytes; at += kThreads)
    frame[sizeof(float) + at] = scaled_byte(format, mine, size, scale, key, first, bytes, at);
}

__global__ void decode_add_kernel(Format format, const std::uint8_t* frames, std::size_t frame_count,
                                  std::size_t frame_bytes, std::size_t count, float weight, float* sums) {
  const std::size_t group = blockIdx.x;
  const std::size_t first = group * kGroupValues;
  const std::size_t size = count - first < kGroupValues ? count - first : kGroupValues;
  const std::uint8_t* const mine = frames + group * group_bytes(format, kGroupValues);
  for (std::size_t i = threadIdx.x; i < size; i += kThreads) {
    float sum = sums[first + i];
    for (std::size_t frame = 0; frame < frame_count; ++frame)
      sum +=
          weight * value_in_frame(format, mine + frame * frame_bytes, size, i);  // -fmad=false: two roundings
    sums[first + i] = sum;
  }
}

unsigned blocks_of(std::size_t count) {
  return static_cast<unsigned>((count + kGroupValues - 1) / kGroupValues);
}

}  // namespace

int encode_groups(Format format, const float* values, std::size_t count, const Key& key, std::uint8_t* out,
                  Stream stream) {
  if (count == 0) return cudaSuccess;
  encode_kernel<<<blocks_of(count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(format, values, count,
                                                                                      key, out);
  return cudaGetLastError();
}

int decode_add(Format format, const std::uint8_t* frames, std::size_t frame_count, std::size_t count,
               float weight, float* sums, Stream stream) {
  if (count == 0 || frame_count == 0) return cudaSuccess;
  decode_add_kernel<<<blocks_of(count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      format, frames, frame_count, groups_bytes(format, count), count, weight, sums);
  return cudaGetLastError();
}

}  // namespace muster::codec::cuda
