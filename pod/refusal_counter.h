#pragma once  // pod/refusal_counter.h: how many were turned away at a guarded port, by reason
#include <prometheus/counter.h>
#include <prometheus/family.h>

#include <string_view>

namespace muster {

class RefusalCounter {  // thread-safe
 public:
  // Shows all of GuardedPort's reasons from the start, as label `reason`.
  explicit RefusalCounter(prometheus::Family<prometheus::Counter>& family);
  void count(std::string_view reason);

 private:
  prometheus::Family<prometheus::Counter>& family_;
};

}  // namespace muster
