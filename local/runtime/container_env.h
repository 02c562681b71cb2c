#pragma once  // local/runtime/container_env.h: the environment and the command line of a container, from its
              // spec
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

using Variables =
    std::vector<std::pair<std::string, std::string>>;  // in order; a later one replaces an earlier

// How config maps and secrets are read: get("configmaps", name).
using ReadObject = std::function<Result<Json>(std::string_view resource, std::string_view name)>;

struct EnvironmentInput {
  const Json& pod;  // with status.podIP and status.hostIP
  const Json& container;
  std::vector<Json> services;  // of the pod's namespace
  std::string api_host = {};   // of the API server; "": told to no pod
  int api_port = 0;
  std::int64_t node_cpu_milli = 0;  // what resourceFieldRef says without a limit
  std::int64_t node_memory_milli = 0;
  ReadObject read;
};

// Service variables, envFrom, env, in the order in which they override each other, $(VAR) expanded.
// Errors are what a kubelet writes under CreateContainerConfigError: `configmap "later" not found`.
[[nodiscard]] Result<Variables> container_variables(const EnvironmentInput& input);

// $(NAME) becomes its value, $$(NAME) becomes $(NAME), an unknown reference stays as it is.
[[nodiscard]] std::string expand_references(std::string_view text, const Variables& variables);

// The value of "metadata.labels['app']", "status.podIP", ...; kInvalidArgument names an unknown one.
[[nodiscard]] Result<std::string> field_value(const Json& pod, std::string_view path);

// The value of a resourceFieldRef ({resource, divisor}) of `container`, rounded up.
[[nodiscard]] Result<std::string> resource_value(const Json& container, const Json& reference,
                                                 std::int64_t node_cpu_milli, std::int64_t node_memory_milli);

void set_variable(Variables& variables, std::string name, std::string value);

}  // namespace muster::local
