#pragma once  // learning/csv_header.h: the line that names a CSV file's columns, and what each column is for
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "learning/csv_rows.h"

namespace muster::learning {

enum class CsvColumn {
  kFeature,
  kLabel,
  kIndex,   // has no name and comes first, as pandas and R write the numbers or names of rows; not read
  kNothing  // has no name: its cells must be empty
};

struct CsvHeader {
  char separator = ',';
  std::vector<std::string> names;
  std::vector<CsvColumn> columns;  // one for each name
  std::size_t features = 0;        // columns that are features
  std::size_t unnamed_last = 0;    // columns without a name behind those of `names`
  std::string first_rows;          // lines that were read already and belong to the rows; mostly none

  [[nodiscard]] std::string column(std::size_t i) const;  // column 3 ("width"), safe in a message
};

// Reads up to the header. Blank lines, lines that begin with # and Excel's "sep=;" may stand before it. The
// separator, one of , ; tab |, is the one that yields the label column, else the one that yields most
// columns.
// A header behind # (numpy.savetxt) counts where the line after it has no label column.
// Errors: kInvalidArgument. The text of a file without the label column may be anybody's secret, so no
// message quotes it.
[[nodiscard]] Result<CsvHeader> read_csv_header(TextLines& lines, const std::string& file,
                                                const std::string& label_column);

}  // namespace muster::learning
