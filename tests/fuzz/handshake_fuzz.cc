// tests/fuzz/handshake_fuzz.cc: what the ends of a data connection are told before and after their proofs.
// The input is laid over good messages (xor), for no fuzzer would guess their proofs, and also taken as it
// is.
#include <algorithm>
#include <span>

#include "tests/fuzz/fuzz.h"
#include "worker/transport/handshake.h"
#include "worker/transport/note.h"

namespace {

using namespace muster::worker;
using Input = std::span<const std::uint8_t>;

const Link kLink{.job_uid = "uid", .membership = 3, .line = {.dialer = 0, .acceptor = 1}, .size = 4};
const MembershipKey kKey{std::byte{7}};

// Takes as many bytes of the input as there are, and lays them over `bytes`; whether that changed anything.
template <typename Bytes>
bool damage(Bytes& bytes, Input& input) {
  const std::size_t count = std::min(input.size(), bytes.size());
  bool changed = false;
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] ^= static_cast<std::byte>(input[i]);
    changed = changed || input[i] != 0;
  }
  input = input.subspan(count);
  return changed;
}

void run_damaged(Input input) {
  Handshake ends[] = {{Handshake::Role::kDialer, kLink, kKey, Nonce{std::byte{1}}},
                      {Handshake::Role::kAcceptor, kLink, kKey, Nonce{std::byte{2}}}};
  bool changed = false;
  auto message = ends[0].begin();
  for (int hears = 1; !message.empty() && ends[hears].expected() > 0; hears = 1 - hears) {
    changed = damage(message, input) || changed;
    message = ends[hears].heard(message);
  }
  MUSTER_CHECK((ends[0].state() == Handshake::State::kProven) == !changed);
  MUSTER_CHECK(changed || ends[1].state() == Handshake::State::kProven);
}

void run_raw(Handshake end, Input input) {  // as it is: nobody without the key gets through
  while (end.expected() > 0 && input.size() >= end.expected()) {
    const std::size_t size = end.expected();
    (void)end.heard(std::as_bytes(input.first(size)));
    input = input.subspan(size);
  }
  MUSTER_CHECK(end.state() != Handshake::State::kProven);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Input input(data, size);
  run_damaged(input);
  run_raw({Handshake::Role::kDialer, kLink, kKey, Nonce{std::byte{1}}}, input);
  run_raw({Handshake::Role::kAcceptor, kLink, kKey, Nonce{std::byte{2}}}, input);
  NoteBytes bytes = encode_note({Note::Kind::kLost, muster::unavailable("rank 2 is gone")});
  Input of_note = input;
  damage(bytes, of_note);
  const auto note = decode_note(bytes);
  if (!note) return 0;
  const auto again = decode_note(encode_note(*note));
  MUSTER_CHECK(again && again->kind == note->kind && again->reason == note->reason);
  return 0;
}
