#pragma once  // operator/api/pod_template.h: what Muster can say of a PodTemplateSpec before the API server
              // sees the pod
#include <string>

#include "common/json/fields.h"

namespace muster::op::api {

inline constexpr const char* kSharedMemoryVolume = "muster-shared-memory";  // of /dev/shm

struct TemplateUse {
  std::string role;  // worker, server, aggregator, client
  bool image_is_ours =
      true;  // Muster's own program runs in it: a template without containers or image is completed
  bool beside_program = false;  // as a sidecar of the user's program, which has the container of the role
  bool in_place = false;        // muster-exec starts the command of the container of the role
};

// Checks shape, the names that Muster keeps to itself (hostname, subdomain, restartPolicy, env, port 29500 is
// free; the volume and the folder of the pod's keys, the volume of /dev/shm), that a container which is not
// ours has an image, and that what Muster adds to is what it seems to be. The error names the field's path.
[[nodiscard]] Status validate_pod_template(const Json& pod_template, const std::string& path,
                                           const TemplateUse& use);

// Of a container, or what is like one: its resources.limits and .requests are quantities. The API server's
// own message would not say where one is not.
[[nodiscard]] Status validate_quantities(const Json& container, const std::string& path);

// True for the env names that the operator sets itself: MUSTER_*, and for programs of the user's own
// MASTER_ADDR and its kin (ARCHITECTURE.md, "The pod contract").
[[nodiscard]] bool is_reserved_env(const std::string& name, bool image_is_ours);

}  // namespace muster::op::api
