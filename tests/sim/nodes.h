#pragma once  // tests/sim/nodes.h: the scheduler, the nodes and their kubelets, and the node controller
#include <map>
#include <string>
#include <vector>

#include "api_store.h"
#include "faults.h"
#include "programs.h"
#include "virtual_threads.h"

namespace muster::sim {

class Nodes {
 public:
  Nodes(VirtualThreads& threads, ApiStore& store, Programs& programs, Faults& faults, std::uint64_t seed);

  void misbehave();                                          // once a second
  void heal();                                               // all nodes are there again, and stay
  [[nodiscard]] bool reaches(const std::string& uid) const;  // the node of this pod

 private:
  struct Node {
    bool up = true;
    Nanos skew{0};
  };
  void changed(const Json* before, const Json* after);
  void bind(const std::string& key, const std::string& uid);
  void start(const std::string& key, const std::string& uid);
  void terminate(const std::string& key, const std::string& uid);
  void ended(const std::string& uid, int code, const std::string& words);
  void report_end(const std::string& uid, int code, const std::string& words);
  // The pod, if it is still the one with this uid.
  [[nodiscard]] const Json* pod(const std::string& key, const std::string& uid) const;
  [[nodiscard]] Node* node_of(const Json& pod);
  void when_up(const std::string& key, const std::string& uid, Nanos in,
               const std::function<void(const Json& pod)>& what);
  void edit(const std::string& key, const std::function<void(Json& status)>& change);
  void evict(const Json& pod, const char* reason);
  void lose(const std::string& name);
  void come_back(const std::string& name);
  void taint(const std::string& name, bool lost);
  void set_broken(const std::string& name, bool broken);
  [[nodiscard]] WallTime wall_of(const Json& pod);
  [[nodiscard]] const Json* any_pod(bool running);

  VirtualThreads& threads_;
  ApiStore& store_;
  Programs& programs_;
  Faults& faults_;
  Random random_;
  std::map<std::string, Node> nodes_;
  std::map<std::string, std::string> keys_;  // of pods, by uid
  int next_address_ = 1;
};

}  // namespace muster::sim
