#pragma once  // worker/transport/connector.h: the thread behind a rank's data port: it accepts, dials and
              // lets both ends prove themselves
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/platform/mutex.h"
#include "worker/transport/incoming.h"
#include "worker/transport/outgoing.h"

namespace muster::worker {

struct MeshIdentity {
  std::string job_uid;
  std::int64_t membership = 1;  // ranks of different ones never talk
  int rank = 0;
  int size = 1;
};

// A thread of its own, so that a rank answers callers while it computes. All methods are thread-safe.
class Connector {
 public:
  struct Options {
    MeshIdentity identity;
    MembershipKey key{};
    bool encrypt = false;
    std::vector<Address> peers;                   // in order of rank
    std::function<void(const std::string&)> log;  // a line now and then; may be empty
    std::function<void(Refusal)> refused;         // each connection that was refused; may be empty
  };
  Connector(Fd listener, Options options);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // This line is needed: this rank dials, if it is the one that does. Once is enough.
  void want(const Line& line);
  // Its connection is there, and proven. What is not taken yet may go and come again.
  [[nodiscard]] bool has(const Line& line) const;
  // One that this rank made, and that broke before it was taken, is made again.
  void renew(const Line& line);
  // That connection; empty while it is not there.
  [[nodiscard]] std::unique_ptr<ByteStream> take(const Line& line);
  // Why it is not there yet, for people.
  [[nodiscard]] std::string problem(const Line& line) const;
  // Rings when a connection has come about.
  [[nodiscard]] Bell& arrivals() { return arrivals_; }

 private:
  struct Place {
    std::unique_ptr<ByteStream> stream;  // until it is taken
    bool taken = false;
    std::string problem;
  };

  [[nodiscard]] MakeHandshake dialer_of(const Line& line) const;
  void run();
  void start_wanted(Instant now);
  void step_outgoing(std::span<const pollfd> polled);  // in the order of outgoing_
  void keep(const Line& line, std::unique_ptr<ByteStream> stream);
  [[nodiscard]] bool is_taken(const Link& link) const;

  const Fd listener_;
  const Options options_;
  MakeStream streams_;
  Bell arrivals_;
  Bell wanted_rings_;
  Alarm stop_;

  // The thread's own.
  Incoming incoming_;
  std::map<Line, Outgoing> outgoing_;

  mutable Mutex mutex_;
  std::map<Line, Place> places_ MUSTER_GUARDED_BY(mutex_);
  std::vector<Line> wanted_ MUSTER_GUARDED_BY(mutex_);  // to be dialled
  std::string callers_problem_ MUSTER_GUARDED_BY(mutex_) = "nothing has connected yet";
  std::thread thread_;  // last: it uses the others
};

}  // namespace muster::worker
