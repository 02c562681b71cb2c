// worker/transport/peer_watch.cc: the rules of peer_watch.h
#include "worker/transport/peer_watch.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/pods/standstill.h"

namespace muster::worker {

PeerWatch::PeerWatch(std::string self, std::string successor, std::chrono::milliseconds timeout)
    : self_(std::move(self)),
      successor_(std::move(successor)),
      silent_beats_min_(static_cast<int>(timeout / kBeat) - kTellingBeats) {
  MUSTER_CHECK(timeout >= kTimeout);
}

int PeerWatch::silent_beats_allowed() const {
  return std::clamp(kPatience * longest_silence_, silent_beats_min_,
                    std::max(silent_beats_min_, kSilentBeatsMax));
}

void PeerWatch::remember(int silent_beats) {
  MUSTER_CHECK(silent_beats >= 0);
  longest_silence_ = std::max(longest_silence_, silent_beats);
  if (--forget_in_ > 0) return;
  longest_silence_ /= 2;
  forget_in_ = kForgetBeats;
}

std::optional<Note> PeerWatch::tick(std::uint32_t waits, int late_beats) {
  remember(late_beats);
  const bool away = waits % 2 == 0 && waits == waits_;
  away_beats_ = away ? away_beats_ + 1 : 0;
  waits_ = waits;
  if (left_ || verdict_) return std::nullopt;
  if (beating_ && !successor_done_ && ++silent_beats_ > silent_beats_allowed()) {
    return conclude(unavailable(silent_words(successor_, (kBeat * silent_beats_allowed()).count())));
  }
  return Note{.kind = Note::Kind::kBeat};
}

std::optional<Note> PeerWatch::heard(const std::optional<Note>& note) {
  if (!note) return conclude(unavailable(successor_ + " sent something that is no note of a worker"));
  switch (note->kind) {
    case Note::Kind::kBeat:
      beating_ = true;
      longest_silence_ = std::max(longest_silence_, silent_beats_);
      silent_beats_ = 0;
      return std::nullopt;
    case Note::Kind::kDone: successor_done_ = true; return std::nullopt;
    case Note::Kind::kLost: return conclude(note->reason);
    case Note::Kind::kLate:
      if (away_beats_ >= kAwayBeatsMin) return conclude(deadline_exceeded(hung_words(self_)));
      return ask();
  }
  return std::nullopt;
}

std::optional<Note> PeerWatch::closed(bool unreachable) {
  if (successor_done_) return std::nullopt;
  return conclude(
      unavailable(successor_ + (unreachable ? " does not answer any more: its machine or network is gone"
                                            : " closed the connection")));
}

std::optional<Note> PeerWatch::ask() {
  if (asked_ || left_ || verdict_) return std::nullopt;
  asked_ = true;
  return Note{.kind = Note::Kind::kLate};
}

std::optional<Note> PeerWatch::conclude(const Error& why) {
  if (left_ || verdict_) return std::nullopt;
  verdict_ = why;
  return Note{.kind = Note::Kind::kLost, .reason = why};
}

std::optional<Note> PeerWatch::leave(const Status& why) {
  std::optional<Note> note;
  if (!why) {
    note = conclude(why.error());
  } else if (!left_ && !verdict_) {
    note = Note{.kind = Note::Kind::kDone};
  }
  left_ = true;
  return note;
}

}  // namespace muster::worker
