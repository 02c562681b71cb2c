// tests/fuzz/handshake_fuzz.cc: the first bytes of a link between two ranks. The input is laid over good ones
// (xor), for no fuzzer would guess their checksum.
#include <algorithm>

#include "tests/fuzz/fuzz.h"
#include "worker/transport/handshake.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::worker;
  const auto damage = [&](auto bytes) {
    for (std::size_t i = 0; i < std::min(size, bytes.size()); ++i)
      bytes[i] ^= static_cast<std::byte>(data[i]);
    return bytes;
  };
  const RingIdentity self{"uid", 3, 1, 4};
  const HelloBytes good = encode_hello(RingIdentity{"uid", 3, 0, 4}, 0);
  const HelloBytes hello = damage(good);
  MUSTER_CHECK(check_hello(hello, self).has_value() == (hello == good));
  const auto note =
      decode_note(damage(encode_note({Note::Kind::kRefused, muster::unavailable("rank 2 is gone")})));
  if (!note) return 0;
  const auto again = decode_note(encode_note(*note));
  MUSTER_CHECK(again && again->kind == note->kind && again->reason == note->reason);
  return 0;
}
