// aggregator/shell/global_model.cc: a model with its checksum
#include "aggregator/shell/global_model.h"

#include <algorithm>
#include <utility>

#include "learning/sha256.h"

namespace muster::agg {

std::span<const std::byte> GlobalModel::part(std::uint64_t offset, std::uint64_t most) const {
  const bool of_model = offset < bytes();
  const auto section = std::as_bytes(std::span(of_model ? values : *broadcast));
  const std::uint64_t begin = of_model ? offset : offset - bytes();
  return section.subspan(begin, std::min<std::uint64_t>(most, section.size() - begin));
}

std::shared_ptr<const GlobalModel> make_global_model(std::int64_t round, std::vector<float> values,
                                                     std::shared_ptr<const std::vector<float>> broadcast,
                                                     std::vector<std::int64_t> counted,
                                                     std::optional<Measured> told,
                                                     std::vector<float> devices) {
  auto model = std::make_shared<GlobalModel>();
  model->round = round;
  learning::Sha256 sha256;
  sha256.update(std::as_bytes(std::span<const float>(values)));
  if (broadcast != nullptr) sha256.update(std::as_bytes(std::span(*broadcast)));
  model->sha256 = sha256.hex();
  model->values = std::move(values);
  model->broadcast = std::move(broadcast);
  model->counted = std::move(counted);
  model->told = told;
  model->devices = std::move(devices);
  return model;
}

}  // namespace muster::agg
