#pragma once  // worker/transport/note.h: the fixed-size messages by which neighbours of a ring watch each
              // other
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/result.h"

namespace muster::worker {

inline constexpr std::size_t kNoteBytes = 256;
using NoteBytes = std::array<std::byte, kNoteBytes>;

// Goes from a successor to its predecessor: what PeerWatch says.
struct Note {
  enum class Kind : std::uint32_t {
    kLost = 1,  // the ring has ended: why
    kBeat = 2,  // this process runs
    kDone = 3,  // graceful leave: a connection that closes after this is not a failure
    kLate = 4,  // a call is late: the rank that has not come to it shall say so
  };
  Kind kind = Kind::kBeat;
  Error reason = {Code::kOk, ""};  // its message is cut at 240 bytes
};
[[nodiscard]] NoteBytes encode_note(const Note& note);
[[nodiscard]] std::optional<Note> decode_note(
    std::span<const std::byte, kNoteBytes> bytes);  // nothing: garbage

}  // namespace muster::worker
