#pragma once  // worker/transport/peer_watch.h: which rank is dead or stands still, and who is told; decides,
              // does no I/O
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "worker/transport/note.h"

namespace muster::worker {

// Every rank hears its successor and tells its predecessor: beats while it lives, and the verdict by which
// the ring ends. A verdict runs against the payload from the rank before the lost one to the rank after it,
// so that all name the one that was lost and nobody the neighbour that left because of it.
// Every event returns the note that is to go to the predecessor, if any. The first verdict holds.
class PeerWatch {
 public:
  static constexpr std::chrono::milliseconds kBeat{50};
  static constexpr std::chrono::milliseconds kTimeout{1'000};
  // A frozen process is known to all within the timeout: so many beats of it go to noticing and telling. On a
  // crowded machine a thread may wait as long for its turn, and to be taken for frozen would cost the job a
  // restart: silences that a rank outlived make the next ones longer, up to kSilentBeatsMax where the timeout
  // is shorter. (Cf. Hayashibara et al., The phi accrual failure detector, SRDS 2004.)
  static constexpr int kTellingBeats = 3;
  static constexpr int kSilentBeatsMax = 100;
  static constexpr int kPatience = 4;       // times the longest silence lately
  static constexpr int kForgetBeats = 200;  // until that counts for half
  static constexpr int kAwayBeatsMin = 2;   // outside a call for so long: not just between two transfers

  // Names: "rank 2 (127.0.0.5:8471)". `timeout` (spec.synchronization.peerTimeoutSeconds): at least a second.
  PeerWatch(std::string self, std::string successor, std::chrono::milliseconds timeout = kTimeout);

  // Every kBeat, after what has come was heard. A tick that is late, by `late_beats`, counts once: whoever
  // was starved or stopped itself does not blame others for that time. `waits` is odd while the rank's thread
  // waits for its links, and changes whenever that begins or ends.
  std::optional<Note> tick(std::uint32_t waits, int late_beats = 0);
  std::optional<Note> heard(const std::optional<Note>& note);  // from the successor; nothing: not a note
  std::optional<Note> closed(bool unreachable);                // the successor's connection
  std::optional<Note> ask();  // this rank's call is late: which rank has not come to it?
  std::optional<Note> conclude(const Error& why);
  std::optional<Note> leave(const Status& why);  // success: this rank's work is done

  // Nothing while the ring is whole. Its code is that of the rank that gave it, so that all end alike.
  [[nodiscard]] const std::optional<Error>& verdict() const { return verdict_; }

 private:
  [[nodiscard]] int silent_beats_allowed() const;
  void remember(int silent_beats);

  std::string self_;
  std::string successor_;
  int silent_beats_min_;  // that are allowed where no longer silence was outlived
  std::optional<Error> verdict_;
  std::uint32_t waits_ = 0;
  int away_beats_ = 0;
  int silent_beats_ = 0;
  int longest_silence_ = 0;  // in beats, lately: of the successor, or of this rank's own thread
  int forget_in_ = kForgetBeats;
  bool beating_ = false;         // the successor has begun: before, it may still look for its own neighbours
  bool successor_done_ = false;  // it has left in peace
  bool asked_ = false;           // a question passes each rank once
  bool left_ = false;
};

}  // namespace muster::worker
