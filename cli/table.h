#pragma once  // cli/table.h: rows of text in columns. Pure
#include <string>
#include <vector>

namespace muster::cli {

// Columns as wide as their widest cell, three blanks between them, no trailing blanks; the first row is the
// header. A row may be shorter than the header. Control characters of cells become '?'.
[[nodiscard]] std::string render_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace muster::cli
