#pragma once  // tests/sim/garbage.h: the garbage collector: children of objects that are gone or are going
#include "api_store.h"

namespace muster::sim {

// One round: background, foreground and orphaning, by owner references and finalizers.
void collect_garbage(ApiStore& store);

}  // namespace muster::sim
