// aggregator/store/segment.cc: frames with a checksum; the reader takes every byte for hostile
#include "aggregator/store/segment.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "learning/sha256.h"

namespace muster::agg {
namespace {

constexpr std::array<char, 8> kFormat{'M', 'U', 'S', 'T', 'E', 'R', 'J', '1'};
constexpr std::uint32_t kMagic = 0x314a'554d;

struct Head {  // of the file
  std::array<char, 8> format = kFormat;
  std::uint64_t salt = 0;
  std::uint32_t crc = 0;  // of the 16 bytes before
  std::array<std::byte, kSegmentAlign - 20> zeros{};
};
static_assert(sizeof(Head) == kSegmentAlign);

struct FrameHead {
  std::uint32_t magic = kMagic;
  std::uint32_t crc = 0;
  std::uint32_t kind = 0;
  std::uint32_t record_bytes = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t durable = 0;
};
static_assert(sizeof(FrameHead) == 32);
constexpr std::size_t kChecked = offsetof(FrameHead, kind);

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kSegmentAlign - 1) / kSegmentAlign * kSegmentAlign;
}

std::uint32_t crc_of(std::uint64_t seed, std::span<const std::byte> bytes) {
  auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(&seed), sizeof(seed));
  crc = ::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return static_cast<std::uint32_t>(crc);
}

struct FoundFrame {
  FrameHead head;
  std::span<const std::byte> record;
  std::uint64_t payload = 0;  // where it begins
  [[nodiscard]] std::uint64_t end() const { return aligned(payload + head.payload_bytes); }
};

// A frame whose head and record are good; its payload may be torn.
std::optional<FoundFrame> frame_at(std::span<const std::byte> file, std::uint64_t at, std::uint64_t salt) {
  if (at > file.size() || file.size() - at < sizeof(FrameHead)) return std::nullopt;
  FoundFrame found;
  const auto rest = file.subspan(at);
  std::memcpy(&found.head, rest.data(), sizeof(FrameHead));
  if (found.head.magic != kMagic || found.head.record_bytes > rest.size() - sizeof(FrameHead))
    return std::nullopt;
  if (found.head.payload_bytes > file.size()) return std::nullopt;
  const std::size_t record_end = sizeof(FrameHead) + found.head.record_bytes;
  if (crc_of(salt, rest.subspan(kChecked, record_end - kChecked)) != found.head.crc) return std::nullopt;
  found.record = rest.subspan(sizeof(FrameHead), found.head.record_bytes);
  found.payload = aligned(at + record_end);
  return found;
}

std::string describe(std::uint64_t at, std::string_view what) { return fmt::format("byte {}: {}", at, what); }

// Whether a good frame behind `from` says that byte `bad` was durable once.
bool was_durable(std::span<const std::byte> file, std::uint64_t from, std::uint64_t bad, std::uint64_t salt) {
  for (std::uint64_t at = aligned(from); at + sizeof(FrameHead) <= file.size(); at += kSegmentAlign) {
    const auto frame = frame_at(file, at, salt);
    if (frame && frame->head.durable > bad) return true;
  }
  return false;
}

}  // namespace

std::vector<std::byte> segment_head(std::uint64_t salt) {
  Head head;
  head.salt = salt;
  head.crc = crc_of(0, std::as_bytes(std::span(&head, 1)).first(offsetof(Head, crc)));
  const auto bytes = std::as_bytes(std::span(&head, 1));
  return {bytes.begin(), bytes.end()};
}

Frame frame_of(const JournalRecord& record, std::uint64_t payload_bytes, std::uint64_t salt,
               std::uint64_t durable) {
  const std::vector<std::byte> bytes = encode(record);
  FrameHead head;
  head.kind = static_cast<std::uint32_t>(record.index());
  head.record_bytes = static_cast<std::uint32_t>(bytes.size());
  head.payload_bytes = payload_bytes;
  head.durable = durable;
  Frame frame;
  frame.head.resize(sizeof(head));
  frame.head.insert(frame.head.end(), bytes.begin(), bytes.end());
  std::memcpy(frame.head.data(), &head, sizeof(head));
  head.crc = crc_of(salt, std::span<const std::byte>(frame.head).subspan(kChecked));
  std::memcpy(frame.head.data(), &head, sizeof(head));
  frame.head.resize(aligned(frame.head.size()));
  frame.padding = aligned(payload_bytes) - payload_bytes;
  return frame;
}

SegmentContents read_segment(std::span<const std::byte> bytes) {
  SegmentContents contents;
  Head head;
  if (bytes.size() >= sizeof(head)) std::memcpy(&head, bytes.data(), sizeof(head));
  const std::uint32_t crc = crc_of(0, std::as_bytes(std::span(&head, 1)).first(offsetof(Head, crc)));
  if (bytes.size() < sizeof(head) || head.format != kFormat || head.crc != crc) {
    contents.trouble = describe(0, "it does not begin as a journal does");
    return contents;
  }
  contents.end = sizeof(head);
  while (contents.end < bytes.size()) {
    const std::uint64_t at = contents.end;
    const auto frame = frame_at(bytes, at, head.salt);
    const auto bad = [&](std::uint64_t from, std::string_view what) {
      contents.trouble = describe(at, what);
      contents.torn = !was_durable(bytes, from, at, head.salt);
    };
    if (!frame) {
      bad(at + 1, "no whole record begins here");
      return contents;
    }
    if (frame->end() > bytes.size()) {
      bad(bytes.size(), "the file ends in the middle of a record");
      return contents;
    }
    auto record = decode(frame->head.kind, frame->record);
    if (!record) {  // its checksum is good: nobody but another version wrote it
      contents.trouble = describe(at, record.error().message);
      return contents;
    }
    const auto payload = bytes.subspan(frame->payload, frame->head.payload_bytes);
    PlacedRecord placed{.offset = at, .record = std::move(*record), .values = {}};
    if (const auto* update = std::get_if<UpdateKept>(&placed.record)) {
      if (payload.size() % sizeof(float) != 0 || learning::sha256_hex(payload) != update->sha256) {
        bad(frame->end(), "the values of an update are not those that were written");
        return contents;
      }
      placed.values = {reinterpret_cast<const float*>(payload.data()), payload.size() / sizeof(float)};
    } else if (!payload.empty()) {
      contents.trouble = describe(at, "a record with a payload that its kind has not");
      return contents;
    }
    contents.records.push_back(std::move(placed));
    contents.end = frame->end();
  }
  return contents;
}

}  // namespace muster::agg
