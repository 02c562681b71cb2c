#pragma once  // tests/sim/checker.h: what must be true at every instant, and once the faults are over
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api_store.h"
#include "network.h"
#include "operator/api/status.h"
#include "proto/control.pb.h"

namespace muster::sim {

class Checker {
 public:
  Checker(VirtualThreads& threads, ApiStore& store);

  // Of an object's spec: from now on its pods may be replaced without having failed.
  void edited(const std::string& uid) { lives_[uid].excused = true; }
  void begins(int replica, const ApiRequest& write);  // by the code of a replica that elects
  void arrives(const ApiRequest& write);              // before the server judges it
  // A worker has taken an assignment.
  void configured(const std::string& job, const control::v1::Assignment& assignment);
  void wrote(const Write& write);

  // What is wrong with a state in which objects rest, one line each.
  using Findings = std::vector<std::string>;
  [[nodiscard]] Findings not_steady() const;    // while programs run and do not end
  [[nodiscard]] Findings not_finished() const;  // every object has ended, its pods are as cleanPodPolicy says
  [[nodiscard]] Findings left_over() const;     // after everything was deleted
  [[nodiscard]] bool awaits_a_deadline() const;  // something is to happen by the clock alone, much later
  [[nodiscard]] std::uint64_t writes() const { return writes_; }  // by replicas, but events and Leases
  [[nodiscard]] const std::string& last_write() const { return last_write_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  void violation(const std::string& what);

 private:
  struct Ends {  // of pods of one incarnation
    int crashes = 0, disruptions = 0, lost_peers = 0;
    Nanos crashed_at{0};
  };
  struct Life {
    op::api::JobStatus status;
    bool excused = false;  // the spec was changed in this incarnation
    Nanos struck{0};       // when a node under one of its pods was last seen to be broken; 0: never
    std::map<std::int64_t, std::vector<std::string>> rosters;  // uids of pods, by membership
    std::map<std::int64_t, Ends> ends;                         // by incarnation
    std::map<std::int64_t, std::set<std::string>> ready_once;  // uids of pods
  };
  void object_changed(const Json* before, const Json& after);
  void check_progress_of_life(const std::string& who, const Json& object, Life& life);
  void check_restart(const std::string& who, const Json& object, const Life& life,
                     const op::api::JobStatus& now);
  void check_membership(const std::string& who, Life& life, const op::api::JobStatus& now);
  void check_replacements(const std::string& who, const Json& object, const op::api::JobStatus& last,
                          const op::api::JobStatus& now);
  [[nodiscard]] std::int64_t newly_replaced(const std::string& who, const Json& object,
                                            const std::string& role,
                                            const std::vector<op::api::PodAttempt>& last,
                                            const std::vector<op::api::PodAttempt>& now);
  [[nodiscard]] bool may_be_replaced(const Json& pod) const;
  void pod_changed(const Json* before, const Json* after);
  void node_changed(const Json& node);
  void note_broken_node(const Json& pod);
  void check_only_one(const Json& pod);
  void note_end(const Json& before, const Json* after);
  void note_lease(const Write& write);

  VirtualThreads& threads_;
  ApiStore& store_;
  std::map<std::string, Life> lives_;  // by uid of the object
  std::set<std::string> amiss_;        // uids of pods that have ended, or whose nodes are broken or lost
  std::map<int, Nanos> rights_;        // of replicas: until when their last renewal lets them write
  std::uint64_t writes_ = 0;
  std::string last_write_;
  std::string suspect_;  // what is wrong if the write that has arrived is carried out
  std::vector<std::string> violations_;
};

}  // namespace muster::sim
