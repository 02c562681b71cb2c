#pragma once  // operator/core/pod_plan.h: the manifests of an object's children: one headless Service, its
              // pods
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/observed.h"

namespace muster::op {

struct PodPlan {
  const api::ObjectMeta& owner;
  std::string kind;  // of the owner
  std::string role;  // worker, server, aggregator, client
  std::int64_t index = 0;
  std::int64_t incarnation = 1;
  std::int64_t attempt = 0;     // clients
  std::int64_t world_size = 0;  // workers; 0: not told
  const Json& pod_template;     // validated (operator/api/pod_template.h)
  bool image_is_ours =
      true;  // Muster's program: fill in image and security context; else the rendezvous variables
  bool beside_program = false;    // Muster's program is a sidecar of a program of the user's own
  std::string checkpoint_path{};  // that the sidecar writes to; empty: nowhere
  Json sidecar_resources{};       // null: none
  bool in_place = false;          // muster-exec, of this image, starts the command of the container
  std::string exec_image{};
  std::string default_image;
  std::string peer_image{};  // rounds: what the pods of the other role get where their template is silent
  spec::Rendezvous rendezvous{};  // of programs of the user's own
  std::string topology_key{};     // workers: keep together by this label of nodes
  std::string shared_memory{};    // workers: size of /dev/shm; a container with GPUs has one anyhow
  std::string ca;                 // id of the authority of its keys; only our programs have keys
  std::string progress_url{};     // where a program of the user's own tells its progress; empty: nowhere
};

// "<object>-<role>-<index>", also the pod's hostname.
[[nodiscard]] std::string pod_name(const std::string& owner, const std::string& role, std::int64_t index);

// The pod contract of ARCHITECTURE.md on top of the user's template, whose own values win where both say
// something. Our containers get what Pod Security `restricted` asks for where the template is silent.
[[nodiscard]] Json pod_manifest(const PodPlan& plan);

// By which the processes of a program of the user's own find each other, as the container of the role gets
// them.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> rendezvous_of(const PodPlan& plan);

// Of a child that is no pod: its owner and labels.
[[nodiscard]] Json child_metadata(const api::ObjectMeta& owner, const std::string& kind,
                                  const std::string& name);

// The Secret `name` of CreateCredentials: owned, immutable, without its data.
[[nodiscard]] Json credentials_manifest(const api::ObjectMeta& owner, const std::string& kind,
                                        const std::string& name);

// Headless, named like the object, with addresses of pods that are not ready yet (ranks meet before that).
[[nodiscard]] Json service_manifest(const api::ObjectMeta& owner, const std::string& kind, bool image_is_ours,
                                    std::int64_t master_port = spec::Rendezvous().master_port);

// The label selector of the object's pods of `role` (empty: of all roles), for status.selector.
[[nodiscard]] std::string selector_of(const api::ObjectMeta& owner, const std::string& role);

}  // namespace muster::op
