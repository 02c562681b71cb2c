#pragma once  // local/runtime/host_names.h: what the names of pods and Services mean, as lines of a hosts
              // file. Pure
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "common/json/fields.h"

namespace muster::local {

// The names that a cluster's DNS would answer, as far as a hosts file can hold them: SERVICE and
// HOSTNAME.SERVICE (of pods whose subdomain is that Service), short in their own namespace, and with
// .NAMESPACE, .svc and .cluster.local everywhere. Behind a Service are its ready pods; all of them under
// publishNotReadyAddresses. A pod's bare hostname is known in its own namespace. A Service with a cluster
// IP means its pods, too: nothing forwards cluster IPs here.
class HostNames {
 public:
  void put_pod(const Json& pod, const std::string& ip);  // readiness comes from the pod's status
  void remove_pod(const std::string& uid);
  void put_service(const Json& service);
  void remove_service(const Json& service);
  [[nodiscard]] bool knows_service(const std::string& ns, const std::string& name) const;

  // "127.1.2.3 job-0.job.ns.svc.cluster.local ... job-0\n" and so on, as pods of namespace `ns` see it.
  [[nodiscard]] std::string lines(std::string_view ns) const;
  // True once after something changed that lines() tells.
  [[nodiscard]] bool changed() { return std::exchange(changed_, false); }

 private:
  struct Pod {
    std::string ns;
    std::string hostname;
    std::string subdomain;
    std::string ip;
    Json labels;
    bool ready = false;
    bool over = false;  // ended: keeps its address, but nobody is to find it
    friend bool operator==(const Pod&, const Pod&) = default;
  };
  using ServiceKey = std::pair<std::string, std::string>;  // namespace, name
  struct Service {
    Json selector;
    bool all = false;            // publishNotReadyAddresses
    std::set<std::string> pods;  // uids of those behind it
  };

  static void relate(Service& service, const std::string& uid, const Pod& pod);

  std::map<std::string, Pod> pods_;  // by uid
  std::map<ServiceKey, Service> services_;
  bool changed_ = false;
};

// The hostname of a pod: spec.hostname, else its name, at most 63 bytes.
[[nodiscard]] std::string pod_hostname(const Json& pod);

// `nsswitch` (nsswitch.conf) with "files" first among the sources of "hosts", so that a hosts file counts;
// empty if it is so already.
[[nodiscard]] std::string with_files_first(std::string_view nsswitch);

}  // namespace muster::local
