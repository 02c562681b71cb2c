#pragma once  // worker/program/same_model.h: the programs of all ranks have one model
#include "common/program/protocol.h"
#include "worker/collective/collective.h"

namespace muster::program {

// All ranks call it. kInvalidArgument on every rank whose model is not rank 0's: both hashes, and the first
// tensor that differs. Other errors: the collective's.
[[nodiscard]] Status compare_models(worker::Collective& collective, const std::vector<TensorShape>& mine,
                                    Deadline deadline);

}  // namespace muster::program
