#pragma once  // common/spec/common_training.h: what spec.training of both kinds has in common
#include "common/spec/training.h"

namespace muster::spec {

struct CommonTraining {
  Model& model;
  Dataset& dataset;
  std::string& objective;
  Optimizer& optimizer;
  std::int64_t& seed;
};
void read_common(Fields& fields, CommonTraining out);

}  // namespace muster::spec
