#pragma once  // tests/sim/replica.h: one replica of the operator as a process, all its code but gRPC and
              // sockets
#include <memory>

#include "network.h"
#include "nodes.h"
#include "planted.h"
#include "programs.h"
#include "replica_agents.h"

namespace muster::sim {

// Secret muster-ca as an operator makes it: one for all lives, as its keys are not drawn from a seed.
[[nodiscard]] const Json& authority_secret(WallTime now);

class Replica {
 public:
  struct World {
    VirtualThreads& threads;
    Network& network;
    Programs& programs;
    Nodes& nodes;
    Faults& faults;
  };
  // `elects`: it is one of several, and works while it holds the Lease.
  Replica(World world, Planted planted, bool elects);
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  void crash();  // nothing of it gets out any more; its threads end in their own time
  void stop();   // as SIGTERM: the passes under way end, and the Lease is given back
  void cut_off(Nanos until) { link_->cut_off_until = until; }  // from the API server
  [[nodiscard]] bool gone() const { return world_.threads.has_ended(process_); }
  [[nodiscard]] int process() const { return process_; }
  [[nodiscard]] bool crashed() const { return !link_->alive; }
  [[nodiscard]] bool ending() const { return stopping_; }
  [[nodiscard]] bool works() const { return agents_ != nullptr; }  // has a term
  void told(const std::string& uid);                               // by a pod: news for its followers

 private:
  struct Parts;
  void run();
  void wait(Nanos most);  // or until there is news
  void turn(Parts& parts);
  void begin_term(Parts& parts);
  void end_term(Parts& parts);

  World world_;
  Planted planted_;
  bool elects_;
  std::shared_ptr<Link> link_ = std::make_shared<Link>();
  int process_ = 0;
  bool stopping_ = false, news_ = false;
  ReplicaAgents* agents_ = nullptr;  // of the term
};

}  // namespace muster::sim
