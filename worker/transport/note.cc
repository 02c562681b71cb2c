// worker/transport/note.cc: a note as bytes, little-endian; what comes in is hostile
#include "worker/transport/note.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace muster::worker {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire format is little-endian");

constexpr std::uint64_t kMagic = 0x3345544f4e'52534dULL;  // "MSRNOTE3"
constexpr std::size_t kReasonBytes = 240;

struct Frame {
  std::uint64_t magic;
  Note::Kind kind;
  std::uint16_t code;
  std::uint16_t reason_bytes;
  char reason[kReasonBytes];
};
static_assert(sizeof(Frame) == kNoteBytes);

}  // namespace

NoteBytes encode_note(const Note& note) {
  Frame frame{};
  frame.magic = kMagic;
  frame.kind = note.kind;
  const std::string& message = note.reason.message;
  frame.code = static_cast<std::uint16_t>(note.reason.code);
  frame.reason_bytes = static_cast<std::uint16_t>(std::min(message.size(), kReasonBytes));
  std::memcpy(frame.reason, message.data(), frame.reason_bytes);
  return std::bit_cast<NoteBytes>(frame);
}

std::optional<Note> decode_note(std::span<const std::byte, kNoteBytes> bytes) {
  Frame frame{};
  std::memcpy(&frame, bytes.data(), kNoteBytes);
  const bool known = frame.kind >= Note::Kind::kLost && frame.kind <= Note::Kind::kLate;
  if (frame.magic != kMagic || !known || frame.reason_bytes > kReasonBytes ||
      frame.code > static_cast<std::uint16_t>(Code::kUnauthenticated)) {
    return std::nullopt;
  }
  std::string reason(frame.reason, frame.reason_bytes);
  // It ends up in a log and in a status: no control characters from outside.
  std::replace_if(
      reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return Note{.kind = frame.kind, .reason = {static_cast<Code>(frame.code), std::move(reason)}};
}

}  // namespace muster::worker
