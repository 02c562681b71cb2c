#pragma once  // local/scheduler.h: binds pods to this machine's node, or says why not
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "local/api/local_client.h"

namespace muster::local {

class Scheduler {
 public:
  Scheduler(LocalClient& client, std::string node);  // starts its thread, which sleeps while nothing changes
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void stop();  // safe to call twice

 private:
  void run();
  [[nodiscard]] bool take(const Change& change);
  void place_all(bool refused_too);
  // True if the pod is bound now.
  [[nodiscard]] bool place(const Json& pod, const Json& node,
                           const std::map<std::string, std::int64_t>& free);
  [[nodiscard]] std::string missing_claim(const Json& pod) const;
  void say_unschedulable(const Json& pod, const std::string& why);

  LocalClient& client_;
  const std::string node_;
  std::unique_ptr<LocalClient::Subscription> changes_;
  std::map<std::string, Json> pods_;  // by uid: those that wait for this scheduler or hold resources
  std::map<std::string, std::string> refused_;  // uid -> what was said of it
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace muster::local
