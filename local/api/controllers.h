#pragma once  // local/api/controllers.h: what goes on by itself: kinds of CRDs, namespaces, owners,
              // endpoints, old events
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "local/api/rest.h"

namespace muster::local {

// One thread that reacts to changes of the store. Kinds of a CRD are there before its creation is answered.
class Controllers : public WriteHooks {
 public:
  // `certificate_pem` is what pods would trust; every namespace gets it in a ConfigMap, as in a cluster.
  Controllers(ObjectStore& store, Kinds& kinds, Rest& rest, std::chrono::seconds event_lifetime,
              std::string certificate_pem = "");
  ~Controllers() override;  // stops

  void start();
  void stop();
  void wrote(const Kind& kind, const Json& object, bool created) override;
  void removed(const Kind& kind, const Json& object) override;

 private:
  struct Note {  // something changed
    std::string resource, ns, name, uid;
    bool deleted = false;
    bool terminating = false;
    std::vector<std::string> owner_uids;
  };
  void loop();
  void handle(const Note& note);
  void recheck_namespaces();
  // Owner references (garbage.cc).
  enum class Policy { kOrphan, kForeground, kBackground };  // by which an owner is deleted
  void collect_dependents(const std::string& owner_uid, Policy policy);
  [[nodiscard]] bool waits_for_dependents(const std::string& uid, Policy policy) const;
  void finish_owner(const Note& note);
  void check_owners(const Note& note);
  [[nodiscard]] bool owner_exists(const std::string& uid) const;
  // Namespaces and CRDs that end (endings.cc).
  void end_namespace(const std::string& name);
  void end_crd(const std::string& name);
  void fill_namespace(const std::string& name);
  // Services (endpoints.cc).
  void update_endpoints(const std::string& ns);
  void update_service_endpoints(const Json& service, const std::vector<Json>& pods);
  void note_event(const Change& change);
  // Removes events that nobody has written for their lifetime. `lock` is let go meanwhile.
  void expire_events(std::unique_lock<std::mutex>& lock);

  ObjectStore& store_;
  Kinds& kinds_;
  Rest& rest_;
  const std::chrono::seconds event_lifetime_;
  const std::string certificate_pem_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Note> notes_;
  struct EventWrite {
    Instant at;
    std::string ns, name;
    std::uint64_t version;
  };
  std::deque<EventWrite> event_writes_;                      // the oldest first
  std::map<std::string, std::string> uids_;                  // uid -> "resource|ns|name" of every object
  std::map<std::string, Instant> rechecks_;                  // namespaces that content holds up
  std::map<std::string, std::set<std::string>> dependents_;  // owner uid -> keys of its dependents
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace muster::local
