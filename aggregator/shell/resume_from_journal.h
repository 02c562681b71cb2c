#pragma once  // aggregator/shell/resume_from_journal.h: from a checkpoint and a journal to an aggregator that
              // goes on
#include <cstdint>
#include <string>

#include "aggregator/shell/coordinator_parts.h"
#include "aggregator/store/replay.h"
#include "common/spec/federation.h"

namespace muster::agg {

struct JournalVolume {       // bytes
  std::uint64_t round = 0;   // that one round takes, or one buffer and the clients at work; needed to begin
  std::uint64_t most = 0;    // that the journal ever takes
  std::uint64_t beside = 0;  // of the next checkpoint, and what a strategy keeps; needed likewise
};
// Of updates of so many parameters. The model that they are for may still be on its way to disk, so there is
// room for the rounds after; and for the late ones of some rounds where those count.
[[nodiscard]] JournalVolume journal_volume(const spec::Federation& federation, std::uint64_t parameters);

// In <spec.aggregator.storage.path>/journal; without a path, and of a federation that has ended, there is
// none. Takes `strategy` and `start`, the checkpoint, to the newest round that was closed. `ports.enough` is
// the spec's target. Errors: kResourceExhausted: not even one round has room. Those of Journal and replay.
[[nodiscard]] Result<Journaled> resume_from_journal(const spec::Federation& federation,
                                                    const std::string& uid, ReplayPorts ports,
                                                    Strategy& strategy, CommittedRound& start);

}  // namespace muster::agg
