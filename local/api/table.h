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
[[nodiscard]] Json table_row(const Kind& kind, const Json& object, IncludeObject include, WallTime now);
// meta/v1 PartialObjectMetadata of an object.
[[nodiscard]] Json partial_metadata(const Json& object);

// Cells of the built-in kinds; false if the kind has none of its own (then: name and age).
[[nodiscard]] bool builtin_columns(const Kind& kind, std::vector<PrinterColumn>& columns);
[[nodiscard]] Json builtin_cells(const Kind& kind, const Json& object, WallTime now);

}  // namespace muster::local
