#pragma once  // common/codec/cuda/group_kernels.h: frames of groups, encoded and added up on a GPU
#include <cstddef>
#include <cstdint>

#include "common/codec/format.h"
#include "common/codec/key.h"

// Compiled by nvcc where a build has it (cmake/MusterCuda.cmake); not yet run on a GPU, and called by
// nothing: a model on a GPU is to. What each thread computes is group_arithmetic.h, which the CPU's codecs
// are held to bit for bit.
namespace muster::codec::cuda {

using Stream = void*;  // cudaStream_t

// All pointers are to memory of the GPU. Formats: those of group_arithmetic.h. Both enqueue and return a
// cudaError_t, 0 for success; neither waits.

// values: [count], the first of which is that of key.first. out: groups_bytes() of them.
[[nodiscard]] int encode_groups(Format format, const float* values, std::size_t count, const Key& key,
                                std::uint8_t* out, Stream stream);
// Dequantizes and reduces in one pass: sums[i] += weight * value i of each frame, in their order, each with
// the two roundings of decode_add. frames: `frame_count` frames of `count` values, groups_bytes() apart.
[[nodiscard]] int decode_add(Format format, const std::uint8_t* frames, std::size_t frame_count,
                             std::size_t count, float weight, float* sums, Stream stream);

}  // namespace muster::codec::cuda
