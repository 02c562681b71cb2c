// aggregator/shell/global_model.cc: a model with its checksum
#include "aggregator/shell/global_model.h"

#include <span>
#include <utility>

#include "learning/sha256.h"

namespace muster::agg {

std::shared_ptr<const GlobalModel> make_global_model(std::int64_t round, std::vector<float> values) {
  auto model = std::make_shared<GlobalModel>();
  model->round = round;
  model->sha256 = learning::sha256_hex(std::as_bytes(std::span<const float>(values)));
  model->values = std::move(values);
  return model;
}

}  // namespace muster::agg
