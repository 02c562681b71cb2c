#pragma once  // worker/transport/incoming.h: who calls at a rank's port, until he has proved himself
#include <array>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "worker/transport/line_limit.h"
#include "worker/transport/outgoing.h"

struct pollfd;

namespace muster::worker {

// Anything may connect; who proves to be a rank that dials this one is accepted. Of those that have not yet,
// so many are kept from the addresses of the roster, and as many from all others: the oldest makes room for a
// newer one of its kind. So no number of other machines can keep a member out, or take more memory than that.
class Incoming {
 public:
  static constexpr std::size_t kPendingMax = 64;  // of others; of a large roster more

  struct Options {
    MakeStream stream;
    MakeHandshake handshake;
    std::size_t members_max = kPendingMax;                                 // that are kept of the roster
    std::set<std::string> roster;                                          // IP addresses
    std::function<bool(const Link&)> taken;                                // its place is
    std::function<void(const Link&, std::unique_ptr<ByteStream>)> accept;  // it has been welcomed
    std::function<void(Refusal)> refused;
    std::function<void(const std::string&)> log;
  };
  Incoming(int listener, Options options) : listener_(listener), options_(std::move(options)) {}

  [[nodiscard]] const std::string& problem() const { return problem_; }  // why nobody is accepted yet
  // Whether the listener is to be polled; not for a while when there was no descriptor for a caller.
  [[nodiscard]] bool listens(Instant now) const { return now >= accept_from_; }
  void poll_into(std::vector<pollfd>& polled, Instant& wake) const;
  // `revents` are those of the pending connections, in the order of poll_into.
  void step(std::span<const pollfd> revents, bool arrivals, Instant now);

 private:
  struct Caller {
    PendingConnection connection;
    std::string from;
    bool of_roster = false;
    bool over = false;
  };
  using Callers = std::list<Caller>;  // oldest first

  void accept_some(Instant now);
  void add(Fd fd, const Address& address, Instant now);
  void judge(Caller& caller, Instant now);
  void accept(Caller& caller, Instant now);
  void refuse(Caller& caller, Refusal refusal, const std::string& problem, Instant now);
  void refuse(Caller& caller, Refusal refusal, Instant now) {
    refuse(caller, refusal, std::string(sentence_of(refusal)), now);
  }

  int listener_;
  Options options_;
  std::array<Callers, 2> callers_;  // unknown, of the roster
  Instant accept_from_{};
  LineLimit lines_;
  bool problem_of_roster_ = false;
  std::string problem_ = "nothing has connected yet";
};

}  // namespace muster::worker
