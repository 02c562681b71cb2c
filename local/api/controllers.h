#pragma once  // local/api/controllers.h: what goes on by itself: kinds of CRDs, namespaces, owners,
              // endpoints, old events
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/platform/mutex.h"
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

  ObjectStore& store_;
  Kinds& kinds_;
  Rest& rest_;
  const std::chrono::seconds event_lifetime_;
  const std::string certificate_pem_;
  Mutex mutex_;
  Condition changed_;
  std::deque<Note> notes_ MUSTER_GUARDED_BY(mutex_);
  struct EventWrite {
    Instant at;
    std::string ns, name;
    std::uint64_t version;
  };
  // The oldest that nobody has written for its lifetime.
  [[nodiscard]] std::optional<EventWrite> take_expired_event() MUSTER_REQUIRES(mutex_);
  std::deque<EventWrite> event_writes_ MUSTER_GUARDED_BY(mutex_);  // the oldest first
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  // Of the thread:
  std::map<std::string, std::string> uids_;                  // uid -> "resource|ns|name" of every object
  std::map<std::string, Instant> rechecks_;                  // namespaces that content holds up
  std::map<std::string, std::set<std::string>> dependents_;  // owner uid -> keys of its dependents
  std::thread thread_;
};

}  // namespace muster::local
