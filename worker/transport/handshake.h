#pragma once  // worker/transport/handshake.h: the fixed-size messages by which two ranks find that they
              // belong together
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "common/base/result.h"

namespace muster::worker {

struct RingIdentity {
  std::string job_uid;          // at most 63 bytes
  std::int64_t membership = 1;  // incarnation; ranks of different ones never talk
  int rank = 0;
  int size = 1;
};

inline constexpr std::size_t kHelloBytes = 112;
inline constexpr std::size_t kNoteBytes = 256;
using HelloBytes = std::array<std::byte, kHelloBytes>;
using NoteBytes = std::array<std::byte, kNoteBytes>;

// Opens a link: sent by the predecessor. `link` numbers the sockets between two ranks.
[[nodiscard]] HelloBytes encode_hello(const RingIdentity& identity, std::uint32_t link);
// Whether these bytes come from the predecessor of `self`. Errors say what does not fit: kInvalidArgument
// (not a hello), kFailedPrecondition (another job, membership, size, rank, version).
[[nodiscard]] Status check_hello(std::span<const std::byte, kHelloBytes> bytes, const RingIdentity& self);

// Goes from a successor to its predecessor: first whether the hello is taken, then what PeerWatch says.
struct Note {
  enum class Kind : std::uint32_t {
    kWelcome = 1,
    kRefused = 2,
    kLost = 3,  // the ring has ended: why
    kBeat = 4,  // this process runs
    kDone = 5,  // this rank leaves in peace: what closes now is no loss
    kLate = 6,  // a call is late: the rank that has not come to it shall say so
  };
  Kind kind = Kind::kWelcome;
  Error reason = {Code::kOk, ""};  // its message is cut at 240 bytes
};
[[nodiscard]] NoteBytes encode_note(const Note& note);
[[nodiscard]] std::optional<Note> decode_note(
    std::span<const std::byte, kNoteBytes> bytes);  // nothing: garbage

}  // namespace muster::worker
