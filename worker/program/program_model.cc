// worker/program/program_model.cc: Model and Optimizer as questions to a program
#include "worker/program/program_model.h"

#include <cmath>
#include <limits>

#include "common/base/check.h"
#include "common/program/packed_bytes.h"
#include "learning/sha256.h"

namespace muster::program {
namespace {

// A bucket's (worker/parallel/bucket_plan.h): less than that fills none.
constexpr std::int64_t kTellFrom = 256 * 1024;

}  // namespace

ProgramModel::ProgramModel(ProgramLink& link) : link_(link) {
  std::int64_t offset = 0;
  for (const TensorShape& tensor : link.model().tensors) {
    std::int64_t size = 1;
    for (const std::int64_t one : tensor.shape) size *= one;
    tensors_.push_back({.name = tensor.name, .shape = tensor.shape, .offset = offset, .size = size});
    offset += size;
  }
}

std::vector<float> ProgramModel::initial_parameters(std::uint64_t /*seed*/) const {
  const auto parameters = link_.parameters();
  return {parameters.begin(), parameters.end()};
}

double ProgramModel::gradient(std::span<const float> parameters, const learning::Examples& data,
                              std::span<const std::int64_t> rows, std::span<float> gradient) {
  return gradient_by_parts(parameters, data, rows, gradient, {});
}

double ProgramModel::gradient_by_parts(std::span<const float> parameters, const learning::Examples& /*data*/,
                                       std::span<const std::int64_t> rows, std::span<float> gradient,
                                       const Ready& ready) {
  MUSTER_CHECK(parameters.data() == link_.parameters().data() && gradient.data() == link_.gradient().data());
  const auto loss = link_.gradient_of(rows, ready, kTellFrom);
  return loss ? *loss : std::numeric_limits<double>::quiet_NaN();
}

learning::Evaluation ProgramModel::evaluate(std::span<const float> /*parameters*/,
                                            const learning::Examples& /*data*/) {
  return {};
}

void ProgramOptimizer::step(std::span<float> /*parameters*/, std::span<const float> /*gradient*/) {
  if (!link_.step()) return;
  is_programs_ = false;
  ++steps_;
}

// Of a program that has failed there is no state any more: an empty one.
void ProgramOptimizer::fetch() {
  const auto told = link_.state();
  const auto bytes = told ? std::span<const std::byte>(*told) : std::span<const std::byte>();
  state_.assign(floats_for(bytes.size()), 0.0F);
  pack(bytes, state_);
  is_programs_ = true;
}

std::vector<learning::Optimizer::Slot> ProgramOptimizer::slots() {
  if (!is_awaited_ && !is_programs_) fetch();
  return {{"program", state_}};
}

void ProgramOptimizer::make_room(std::size_t values) {
  programs_ = is_programs_ ? std::move(state_) : std::vector<float>();
  state_.assign(values, 0.0F);
  is_awaited_ = true;
}

void ProgramOptimizer::set_steps(std::int64_t steps) {
  steps_ = steps;
  if (!std::exchange(is_awaited_, false)) return;
  is_programs_ = true;
  if (state_ == std::exchange(programs_, {})) return;
  const auto bytes = unpack(state_);
  if (bytes) {
    static_cast<void>(link_.take(*bytes));
  } else {
    link_.give_up(bytes.error());
  }
}

std::string hash_of(const std::vector<TensorShape>& tensors) {
  const std::vector<std::byte> bytes = write_tensors(tensors);
  return learning::sha256_hex(bytes);
}

learning::Dataset dataset_of(const ProgramLink::Model& model) {
  learning::Dataset data;
  data.train.elsewhere = model.examples;
  std::string told = hash_of(model.tensors) + " " + std::to_string(model.examples);
  if (model.fingerprint != 0) told += " " + std::to_string(model.fingerprint);
  data.digest = learning::sha256_hex(std::as_bytes(std::span(told)));
  return data;
}

}  // namespace muster::program
