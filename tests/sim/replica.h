#pragma once  // tests/sim/replica.h: one replica of the operator, from its start to its end, all code but
              // gRPC and sockets
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
  Replica(World world, Planted planted);
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  void crash();  // nothing of it gets out any more; its threads end in their own time
  [[nodiscard]] bool gone() const { return world_.threads.has_ended(process_); }
  [[nodiscard]] int process() const { return process_; }
  [[nodiscard]] bool alive() const { return link_->alive; }
  void told(const std::string& uid);  // by a pod: news for its followers

 private:
  struct Parts;
  void run();
  void live();

  World world_;
  Planted planted_;
  std::shared_ptr<Link> link_ = std::make_shared<Link>();
  int process_ = 0;
  bool stopping_ = false;
  Parts* parts_ = nullptr;  // on the stack of run()
};

}  // namespace muster::sim
