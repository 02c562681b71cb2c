#pragma once  // operator/shell/history_writer.h: the ConfigMap with the records of a namespace's ended
              // objects
#include <string>

#include "kube/client.h"
#include "operator/core/history.h"

namespace muster::op {

// Thread-safe. Nothing is read for it: a record is merged in by its key, and the answer to that shows what is
// too old or too much.
class HistoryWriter {
 public:
  HistoryWriter(kube::Client& client, HistoryLimits limits) : client_(client), limits_(limits) {}

  // One call; two when the ConfigMap is not there yet, or records have to go.
  [[nodiscard]] Status write(const std::string& ns, const RecordHistory& what, WallTime now);

 private:
  [[nodiscard]] Result<Json> merge(const std::string& ns, const Json& data);
  [[nodiscard]] Result<Json> create(const std::string& ns, const Json& data);

  kube::Client& client_;
  HistoryLimits limits_;
};

}  // namespace muster::op
