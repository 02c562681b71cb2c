#pragma once  // tests/operator/core/cluster_model.h: the least of a cluster that a reconcile pass can be held
              // against
#include <map>
#include <string>
#include <vector>

#include "operator/core/reconcile_distributed_job.h"
#include "operator/core/reconcile_federated_round.h"

namespace muster::op::testing {

// A DistributedJob as a user would write it: job("digits").workers(4).json().
class JobBuilder {
 public:
  explicit JobBuilder(const std::string& name = "digits");
  JobBuilder& workers(int replicas) { return set("/spec/workers/replicas", replicas); }
  JobBuilder& max_restarts(int count) { return set("/spec/runPolicy/maxRestarts", count); }
  JobBuilder& active_deadline(int seconds) { return set("/spec/runPolicy/activeDeadlineSeconds", seconds); }
  JobBuilder& ttl(int seconds) { return set("/spec/runPolicy/ttlSecondsAfterFinished", seconds); }
  JobBuilder& clean(const std::string& policy) { return set("/spec/runPolicy/cleanPodPolicy", policy); }
  JobBuilder& suspended() { return set("/spec/suspend", true); }
  JobBuilder& plain(const std::string& image = "debian:12");  // without spec.training
  JobBuilder& set(const std::string& pointer, Json value);
  [[nodiscard]] const Json& json() const { return object_; }

 private:
  Json object_;
};
[[nodiscard]] JobBuilder job(const std::string& name = "digits");

// A FederatedRound of `clients` clients, `per_pod` in each pod.
[[nodiscard]] Json federated_round(int clients, int per_pod);

// Stores one object and its children, applies actions as an API server would, and plays the kubelet when told
// to.
class ClusterModel {
 public:
  explicit ClusterModel(Json object);

  WallTime now;
  Json object;
  std::map<std::string, Json> pods;                  // by name: the server's own uniqueness
  std::map<std::string, CreateCredentials> secrets;  // by name; never read by the operator
  int secret_writes = 0;  // creates that went out, also those that met AlreadyExists
  ServiceState service = ServiceState::kAbsent;
  std::map<std::string, control::v1::AgentStatus> agents;  // by pod uid
  std::set<std::string> silent;                            // uids of pods whose Agents do not answer
  std::map<std::string, WallTime> unheard;  // by pod uid: dialled then, and has never told anything
  std::optional<std::string> unkept = "";   // a field of the status writes that was not kept
  std::map<std::string, control::v1::Assignment> assignments;  // by pod uid: the last Configure
  std::vector<EmitEvent> events;
  std::string ca = "cafe0123";
  std::map<std::string, WallTime>
      credentials;  // what this process of the operator remembers; empty when it has just started
  std::set<std::string> found_credentials;
  mutable std::map<std::string, WallTime> sightings;  // by pod uid: when a pass first saw that it had ended
  mutable std::map<std::string, std::pair<std::string, WallTime>>
      told;                                       // by pod uid: its news, and since when
  std::map<std::string, std::string> rejections;  // by pod uid
  std::map<std::string, Error> refusals;          // by pod uid
  std::optional<Obstacle> obstacle;
  std::optional<ProgressReport> report;  // the newest of the object's program
  PodDefaults defaults;
  std::set<std::string> lost_nodes;
  NodeProblems bad_nodes;
  SchedulingSeen scheduling;  // what is served
  Json group;                 // the group object of the job's name; null: none
  bool group_known = true;    // false: the operator's cache of groups is not filled yet
  Json workload;              // Kueue's; null: none
  std::optional<WallTime> last_status_write;
  bool keeps_history = false;
  bool history_refused = false;         // then nothing is kept
  std::map<std::string, Json> history;  // by key
  int history_writes = 0;
  bool object_deleted = false;
  int status_writes = 0;
  int workload_writes = 0;  // of its status
  void touch(Json& item);   // a new resourceVersion, as after any write

  [[nodiscard]] Decision decide() const { return decide(object, pods); }
  // Judges by the given (perhaps stale) caches.
  [[nodiscard]] Decision decide(const Json& seen_object, const std::map<std::string, Json>& seen_pods) const;
  // False when the server refuses (conflict): the applier stops there.
  bool apply(const Action& action);
  // One pass over fresh caches; the number of actions other than events.
  std::size_t pass();
  // Passes until one has nothing to do.
  void settle();

  // The kubelet and the world.
  void start_pods();  // every pending pod: address, Running, Ready, its Agent answers
  // Of exit code 0 without words: those of Muster's program when spec.training is there, else none.
  void end_pod(const std::string& name, int exit_code, const std::string& words = "");
  void evict(const std::string& name);
  void delete_pod(const std::string& name);  // as a user's kubectl delete
  void finish_deletions();                   // terminating pods are gone
  void agents_follow();                      // agents take the membership that Configure told them and run
  // The worker has lost a peer, and says so: "rank 2 (127.1.0.3:8471) closed the connection".
  void lose_peer(const std::string& name, const std::string& words);
  void advance(std::chrono::seconds span) { now += span; }

  // Runs a new object up to running pods with configured agents.
  void bring_up();

  [[nodiscard]] api::JobStatus status() const;
  [[nodiscard]] const api::Condition* condition(const std::string& type) const;
  [[nodiscard]] bool is(const std::string& type) const { return api::is_true(status().conditions, type); }
  [[nodiscard]] int count_events(const std::string& reason) const;
  [[nodiscard]] std::string uid_of(const std::string& pod) const { return pods.at(pod)["metadata"]["uid"]; }

 private:
  bool create_pod(const Json& manifest);
  bool create_credentials(const CreateCredentials& create);
  bool patch_status(const Json& patch);
  Json& child_of(const ApiKind& api);
  bool patch_child(const PatchChildStatus& patch);
  int next_uid_ = 1;
  int next_version_ = 1;
  mutable api::JobStatus status_cache_;
};

}  // namespace muster::op::testing
