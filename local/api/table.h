#pragma once  // local/api/table.h: lists as tables of cells, as `kubectl get` asks for them
#include <string>
#include <vector>

#include "local/api/formats.h"
#include "local/api/kind.h"
#include "local/api/object_store.h"

namespace muster::local {

enum class IncludeObject { kNone, kMetadata, kObject };

// The columns of a kind (meta/v1 TableColumnDefinition).
[[nodiscard]] Json table_columns(const Kind& kind);
// `meta_version`: of the PartialObjectMetadata in the row.
[[nodiscard]] Json table_row(const Kind& kind, const Json& object, IncludeObject include, WallTime now,
                             const std::string& meta_version = "meta.k8s.io/v1");
// PartialObjectMetadata of an object.
[[nodiscard]] Json partial_metadata(const Json& object, const std::string& meta_version = "meta.k8s.io/v1");

// Columns and cells of the built-in kinds; a kind that has none of its own shows its name and creation.
[[nodiscard]] const std::vector<PrinterColumn>& builtin_columns(const Kind& kind);
[[nodiscard]] Json builtin_cells(const Kind& kind, const Json& object, WallTime now);

}  // namespace muster::local
