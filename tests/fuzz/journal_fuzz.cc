// tests/fuzz/journal_fuzz.cc: files of an aggregator's journal
#include <cstring>

#include "aggregator/store/recovery.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::agg;
  std::vector<float> aligned(size / sizeof(float) + 1);  // as a mapping is
  std::memcpy(aligned.data(), data, size);
  const SegmentContents contents = read_segment(std::as_bytes(std::span(aligned)).first(size));
  MUSTER_CHECK(contents.end <= size);
  MUSTER_CHECK(contents.trouble.empty() == (contents.end == size && size > 0));
  for (const std::int64_t committed : {0, 3}) {
    Recovery recovery({.uid = "u", .fingerprint = "f", .clients = 3, .parameters = 2}, committed);
    bool sound = true;
    for (const PlacedRecord& record : contents.records) {
      if (!recovery.add(record, nullptr)) sound = false;
      if (!sound) break;
    }
    if (!sound) continue;
    const Recovered recovered = recovery.finish();
    std::uint64_t last = 0;
    for (const PendingUpdate& pending : recovered.tail) {
      MUSTER_CHECK(pending.update.sequence > last && pending.update.sequence < recovered.next_sequence);
      MUSTER_CHECK(pending.values.size() == 2);
      last = pending.update.sequence;
    }
    for (const ResumedTask& task : recovered.resume.tasks) MUSTER_CHECK(task.client >= 0 && task.client < 3);
    for (const ClosedRound& closed : recovered.closed) MUSTER_CHECK(closed.round > committed);
  }
  // What was read is written the same.
  for (const PlacedRecord& record : contents.records) {
    const auto bytes = encode(record.record);
    const auto again = decode(record.record.index(), bytes);
    MUSTER_CHECK(again && encode(*again) == bytes);
  }
  return 0;
}
