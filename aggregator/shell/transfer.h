#pragma once  // aggregator/shell/transfer.h: a download or upload that runs, as the coordinator sees it
#include "common/base/result.h"

namespace muster::agg {

class Transfer {  // thread-safe
 public:
  virtual ~Transfer() = default;
  // Gives back what the call holds of models and updates before it returns, and ends the call with `why`. Its
  // client is given a moment to read the reason; one that stands still is cut off. Idempotent. Called without
  // any lock, by one thread.
  virtual void end(const Error& why) = 0;
};

}  // namespace muster::agg
