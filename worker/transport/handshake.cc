// worker/transport/handshake.cc: hello and note, little-endian, with a checksum; what comes in is hostile
#include "worker/transport/handshake.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/check.h"
#include "common/base/random.h"

namespace muster::worker {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire format is little-endian");

constexpr std::uint64_t kHelloMagic = 0x314f4c4548'52534dULL;  // "MSRHELO1"
constexpr std::uint64_t kNoteMagic = 0x3245544f4e'52534dULL;   // "MSRNOTE2"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kUidBytes = 64;
constexpr std::size_t kReasonBytes = 240;

struct Hello {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t link;
  std::int64_t membership;
  std::int32_t rank;
  std::int32_t size;
  char uid[kUidBytes];  // filled with zeros
  std::uint64_t reserved;
  std::uint64_t checksum;  // of all before it
};
static_assert(sizeof(Hello) == kHelloBytes);

struct NoteFrame {
  std::uint64_t magic;
  Note::Kind kind;
  std::uint16_t code;
  std::uint16_t reason_bytes;
  char reason[kReasonBytes];
};
static_assert(sizeof(NoteFrame) == kNoteBytes);

std::uint64_t checksum(const Hello& hello) {
  std::array<std::uint64_t, kHelloBytes / 8> words{};
  std::memcpy(words.data(), &hello, kHelloBytes);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) sum = hash_key(sum, words[i]);
  return sum;
}

void copy_uid(const std::string& uid, char (&to)[kUidBytes]) {
  std::memset(to, 0, kUidBytes);
  std::memcpy(to, uid.data(), std::min(uid.size(), kUidBytes - 1));
}

}  // namespace

HelloBytes encode_hello(const RingIdentity& identity, std::uint32_t link) {
  Hello hello{};
  hello.magic = kHelloMagic;
  hello.version = kVersion;
  hello.link = link;
  hello.membership = identity.membership;
  hello.rank = identity.rank;
  hello.size = identity.size;
  copy_uid(identity.job_uid, hello.uid);
  hello.checksum = checksum(hello);
  return std::bit_cast<HelloBytes>(hello);
}

Status check_hello(std::span<const std::byte, kHelloBytes> bytes, const RingIdentity& self) {
  Hello hello{};
  std::memcpy(&hello, bytes.data(), kHelloBytes);
  if (hello.magic != kHelloMagic) return invalid_argument("the bytes are not the greeting of a worker");
  if (hello.version != kVersion) {
    return failed_precondition(fmt::format(
        "the peer speaks version {} of the ring protocol, this worker {}; use one image for all workers",
        hello.version, kVersion));
  }
  if (hello.checksum != checksum(hello)) return invalid_argument("the greeting is damaged");
  char uid[kUidBytes];
  copy_uid(self.job_uid, uid);
  if (std::memcmp(uid, hello.uid, kUidBytes) != 0)
    return failed_precondition("the peer belongs to another job");
  if (hello.membership != self.membership) {
    return failed_precondition(
        fmt::format("the peer is of incarnation {}, this worker of {}", hello.membership, self.membership));
  }
  const int predecessor = (self.rank + self.size - 1) % self.size;
  if (hello.size != self.size || hello.rank != predecessor || hello.link != 0) {
    return failed_precondition(
        fmt::format("the peer is rank {} of {} (link {}), expected is rank {} of {} (link 0)", hello.rank,
                    hello.size, hello.link, predecessor, self.size));
  }
  return {};
}

NoteBytes encode_note(const Note& note) {
  NoteFrame frame{};
  frame.magic = kNoteMagic;
  frame.kind = note.kind;
  const std::string& message = note.reason.message;
  frame.code = static_cast<std::uint16_t>(note.reason.code);
  frame.reason_bytes = static_cast<std::uint16_t>(std::min(message.size(), kReasonBytes));
  std::memcpy(frame.reason, message.data(), frame.reason_bytes);
  return std::bit_cast<NoteBytes>(frame);
}

std::optional<Note> decode_note(std::span<const std::byte, kNoteBytes> bytes) {
  NoteFrame frame{};
  std::memcpy(&frame, bytes.data(), kNoteBytes);
  const bool known = frame.kind >= Note::Kind::kWelcome && frame.kind <= Note::Kind::kLate;
  if (frame.magic != kNoteMagic || !known || frame.reason_bytes > kReasonBytes ||
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
