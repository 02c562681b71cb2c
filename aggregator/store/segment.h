#pragma once  // aggregator/store/segment.h: records in one file of a journal, and how much of a damaged one
              // is good. Pure
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aggregator/store/journal_records.h"
#include "common/base/result.h"

namespace muster::agg {

// A file: a block that names the format and holds a random salt, then frames, each from a multiple of 64 on:
//   magic u32 | crc u32 | kind u32 | record bytes u32 | payload bytes u64 | durable u64 | record | 0 .. |
//   payload | 0 ..
// `crc` is zlib's, begun with the salt (so that no client can send values that look like a frame), of the
// bytes from `kind` to the record's end; the payload is held to the SHA-256 in its record. `durable`: so many
// bytes of the file were durable when the frame was written, so a bad frame in front of a good one that says
// so is no torn write.
inline constexpr std::size_t kSegmentAlign = 64;

[[nodiscard]] std::vector<std::byte> segment_head(std::uint64_t salt);

// One frame without its payload, and the zeros behind that.
struct Frame {
  std::vector<std::byte> head;  // up to the payload
  std::size_t padding = 0;      // zeros behind the payload, less than kSegmentAlign
};
[[nodiscard]] Frame frame_of(const JournalRecord& record, std::uint64_t payload_bytes, std::uint64_t salt,
                             std::uint64_t durable);

struct PlacedRecord {
  std::uint64_t offset = 0;
  JournalRecord record;
  std::span<const float> values;  // [P] of UpdateKept, views into the file
};

struct SegmentContents {
  std::vector<PlacedRecord> records;
  std::uint64_t end = 0;  // of the last good one; 0: not even the head is good
  std::string trouble;    // what is wrong behind that; empty: the file ends there
  bool torn = false;      // a write that was never durable: the file may be cut at `end`
};

// `bytes` may be anything; aligned as a float is. Cost: a pass over the bytes, for the SHA-256 of the
// updates.
[[nodiscard]] SegmentContents read_segment(std::span<const std::byte> bytes);

}  // namespace muster::agg
