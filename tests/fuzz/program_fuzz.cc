// tests/fuzz/program_fuzz.cc: what a worker and a user's program are told by one another
#include <algorithm>
#include <array>
#include <cstring>

#include "common/program/packed_bytes.h"
#include "common/program/protocol.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::program;
  const auto bytes = std::as_bytes(std::span(data, size));
  std::array<std::byte, kFrameBytes> head{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), head.size()), head.begin());
  if (const auto frame = decode(head)) {
    MUSTER_CHECK(frame->body_bytes <= body_max(frame->kind));
    MUSTER_CHECK(encode(*frame) == head);
    static_cast<void>(read_world(*frame));
    static_cast<void>(read_batch(*frame));
  }
  if (const auto tensors = read_tensors(bytes)) {
    const auto again = read_tensors(write_tensors(*tensors));
    MUSTER_CHECK(again && *again == *tensors);
  }
  std::vector<float> floats(size / sizeof(float));
  if (!floats.empty()) std::memcpy(floats.data(), data, floats.size() * sizeof(float));
  if (const auto carried = unpack(floats)) MUSTER_CHECK(carried->size() <= size);
  return 0;
}
