// pod/refusal_counter.cc: how many were turned away at a guarded port, by reason
#include "pod/refusal_counter.h"

#include <string>

#include "pod/guarded_port.h"

namespace muster {

RefusalCounter::RefusalCounter(prometheus::Family<prometheus::Counter>& family) : family_(family) {
  for (const std::string_view reason : kRefusals) family_.Add({{"reason", std::string(reason)}});
}

void RefusalCounter::count(std::string_view reason) {
  family_.Add({{"reason", std::string(reason)}}).Increment();
}

}  // namespace muster
