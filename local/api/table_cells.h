#pragma once  // local/api/table_cells.h: cells of the built-in kinds, in the order of their columns (private
              // to table*.cc)
#include <string>
#include <vector>

#include "local/api/table.h"

namespace muster::local {

using Cells = std::vector<Json>;

// What several kinds show. None of these trusts the types of what it reads: a cell of a strange object is
// empty.
[[nodiscard]] std::string created(const Json& object, WallTime now);  // the age of the object
[[nodiscard]] std::string join(const std::vector<std::string>& parts, const char* none = "<none>");
[[nodiscard]] std::vector<std::string> strings_of(const Json& object, const char* name);
[[nodiscard]] bool flag_of(const Json& object, const char* name, bool otherwise = false);
[[nodiscard]] std::string text_or(const Json& object, const char* name, const char* otherwise);
[[nodiscard]] std::string labels_text(const Json& labels);
// A meta/v1 LabelSelector as a selector is written: "a=b,c in (d,e),!f"; `none` if it selects by nothing.
[[nodiscard]] std::string selector_text(const Json& selector, const char* none = "<none>");
// True if the condition `type` of `status` is "True".
[[nodiscard]] bool has_condition(const Json& status, std::string_view type);

[[nodiscard]] Cells pod_cells(const Json& pod, WallTime now);  // table_pods.cc

[[nodiscard]] Cells deployment_cells(const Json& object, WallTime now);  // table_workloads.cc
[[nodiscard]] Cells replica_set_cells(const Json& object, WallTime now);
[[nodiscard]] Cells job_cells(const Json& object, WallTime now);
[[nodiscard]] Cells disruption_budget_cells(const Json& object, WallTime now);

[[nodiscard]] Cells service_cells(const Json& service, WallTime now);  // table_network.cc
[[nodiscard]] Cells endpoints_cells(const Json& endpoints, WallTime now);
[[nodiscard]] Cells endpoint_slice_cells(const Json& slice, WallTime now);

[[nodiscard]] Cells node_cells(const Json& node, WallTime now);  // table_cluster.cc
[[nodiscard]] Cells event_cells(const Json& event, WallTime now);
[[nodiscard]] Cells claim_cells(const Json& claim, WallTime now);
[[nodiscard]] Cells quota_cells(const Json& quota, WallTime now);
[[nodiscard]] Cells binding_cells(const Json& binding, WallTime now);

}  // namespace muster::local
