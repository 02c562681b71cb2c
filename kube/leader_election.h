#pragma once  // kube/leader_election.h: one Lease, at most one leader, as a machine without I/O
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::kube {

// One replica's part, by the rules of client-go's LeaderElector. Not thread-safe; the same seed, answers and
// times give the same requests. docs/adr/0010-fencing.md says why no two lead at once:
// - who leads may begin writes until fence(): `renew_deadline` after the last renewal that succeeded was
//   *sent*;
// - who does not lead takes the Lease only once it has not seen it change for the `leaseDurationSeconds` in
//   it, by its own clock, counted from when it saw the last change. Times written by others are never
//   compared.
// `now` is monotonic and goes on while the machine sleeps; `wall` is for people only.
class LeaderElection {
 public:
  struct Options {
    std::string ns, name;                              // of the Lease
    std::string identity;                              // of this replica, and of no other that ever was
    std::map<std::string, std::string> annotations{};  // of the Lease while this replica holds it
    std::chrono::milliseconds lease_duration{15'000};
    std::chrono::milliseconds renew_deadline{10'000};  // less than lease_duration
    std::chrono::milliseconds retry_period{2'000};     // at most half of renew_deadline
    std::uint64_t seed = 1;
  };
  enum class Standing {
    kStandby,
    kLeading,
    kDeposed,   // led, and lost it: asks for nothing until rejoin()
    kResigned,  // for good
  };
  struct Request {
    enum class Verb { kGet, kCreate, kUpdate } verb = Verb::kGet;
    Json lease{};  // the body of a create or update
  };
  explicit LeaderElection(Options options);

  // What to send now. None while an answer is awaited, or before wake().
  [[nodiscard]] std::optional<Request> next(Instant now, WallTime wall);
  // How the last request ended, whatever that was: kDeadlineExceeded may have been carried out.
  void answered(const Result<Json>& lease, Instant now);
  // When next() may have something, or the standing changes.
  [[nodiscard]] Instant wake() const;

  [[nodiscard]] Standing standing() const { return standing_; }
  // No write may begin at this instant or later. Long past for who does not lead.
  [[nodiscard]] Instant fence() const { return fence_; }
  // Who holds the Lease, as last seen; empty: nobody, or it is not known.
  [[nodiscard]] std::string holder() const;
  // What the holder says of itself in that annotation; empty: nothing, or nobody holds it.
  [[nodiscard]] std::string told_by_holder(const std::string& annotation) const;
  [[nodiscard]] bool seen() const { return seen_; }  // the server has told something of the Lease

  // Of a deposed replica, all of whose writes are over: it stands by again.
  void rejoin(Instant now);
  // Gives the Lease back: the writes of a leader must be over. The request is to be sent once, and its answer
  // does not matter: who is not told waits until the Lease runs out. None if there is nothing to give back.
  [[nodiscard]] std::optional<Request> resign(Instant now, WallTime wall);

 private:
  [[nodiscard]] Json lease_of(const std::string& holder, WallTime wall) const;
  [[nodiscard]] Instant runs_out() const;
  void observe(const Json& lease, Instant now);
  void looked(const Result<Json>& lease, Instant now);
  void wrote(const Result<Json>& lease, Instant now, Instant sent);
  void look_again(Instant now);
  void note_time(Instant now);

  Options options_;
  Random random_;
  Standing standing_ = Standing::kStandby;
  Instant fence_ = Instant::min();
  Instant wake_ = Instant::min();
  Json last_;             // the Lease as last seen; null: none
  Instant changed_at_{};  // when it was first seen as it is
  bool seen_ = false;
  bool deleted_ = false;  // `last_` is there no more
  bool current_ = false;  // `last_` is as of now: it may be written upon
  struct Sent {
    Request::Verb verb;
    Instant at;
  };
  std::optional<Sent> sent_;
};

}  // namespace muster::kube
