#pragma once  // kube/request.h: what to ask the API server for, as pure values: resources, paths, queries.
              // Pure
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "kube/http_transport.h"

namespace muster::kube {

// One REST resource: {"muster.dev", "v1alpha1", "distributedjobs", true, "DistributedJob"}.
struct Resource {
  std::string group;  // "" is the core group
  std::string version;
  std::string plural;
  bool namespaced = true;
  std::string kind;

  [[nodiscard]] std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  friend bool operator==(const Resource&, const Resource&) = default;
};

inline const Resource kPods{"", "v1", "pods", true, "Pod"};
inline const Resource kServices{"", "v1", "services", true, "Service"};
inline const Resource kSecrets{"", "v1", "secrets", true, "Secret"};
inline const Resource kEvents{"", "v1", "events", true, "Event"};
inline const Resource kNodes{"", "v1", "nodes", false, "Node"};
inline const Resource kNamespaces{"", "v1", "namespaces", false, "Namespace"};
inline const Resource kCustomResourceDefinitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                                 false, "CustomResourceDefinition"};
inline const Resource kDistributedJobs{"muster.dev", "v1alpha1", "distributedjobs", true, "DistributedJob"};
inline const Resource kFederatedRounds{"muster.dev", "v1alpha1", "federatedrounds", true, "FederatedRound"};

enum class PatchType { kMerge, kJson, kStrategic, kApply };
enum class Propagation { kBackground, kForeground, kOrphan };

struct ListOptions {
  std::string label_selector{};
  std::string field_selector{};
  std::string resource_version{};
  std::string continue_token{};
  int limit = 0;  // 0: the server decides
};

struct WatchOptions {
  std::string label_selector{};
  std::string field_selector{};
  std::string resource_version{};
  std::chrono::seconds timeout{300};  // the server ends the watch after this; we give up a little later
  bool bookmarks = true;
};

struct CreateOptions {
  bool strict = false;   // unknown and duplicate fields are refused (kInvalidArgument), not dropped
  bool dry_run = false;  // judged, not stored
  // The answer need be no more than a PartialObjectMetadata. A server that has none answers the object.
  bool metadata_only = false;
};

struct PatchOptions {
  std::string subresource{};    // "status", "scale" or empty
  std::string field_manager{};  // required for kApply
  bool force = false;           // kApply: take fields from other managers
};

struct DeleteOptions {
  std::string uid{};               // precondition; empty: none
  std::string resource_version{};  // precondition; empty: none
  std::optional<Propagation> propagation{};
  std::optional<std::chrono::seconds> grace{};
};

struct LogOptions {
  std::string container{};
  bool follow = false;
  bool previous = false;
  std::optional<std::int64_t> tail_lines{};
};

// Percent-encodes everything but RFC 3986's unreserved characters.
[[nodiscard]] std::string url_encode(std::string_view text);

// "/apis/muster.dev/v1alpha1/namespaces/team/distributedjobs/x/status"; empty `ns`: all namespaces; empty
// `name`: the collection.
[[nodiscard]] std::string resource_path(const Resource& resource, std::string_view ns,
                                        std::string_view name = {}, std::string_view subresource = {});

[[nodiscard]] HttpRequest list_request(const Resource& resource, std::string_view ns,
                                       const ListOptions& options);
[[nodiscard]] HttpRequest watch_request(const Resource& resource, std::string_view ns,
                                        const WatchOptions& options);
// Without their bodies.
[[nodiscard]] HttpRequest create_request(const Resource& resource, std::string_view ns,
                                         const CreateOptions& options);
[[nodiscard]] HttpRequest patch_request(const Resource& resource, std::string_view ns, std::string_view name,
                                        PatchType type, const PatchOptions& options);
[[nodiscard]] HttpRequest log_request(std::string_view ns, std::string_view pod, const LogOptions& options);
[[nodiscard]] std::string_view content_type(PatchType type);

}  // namespace muster::kube
