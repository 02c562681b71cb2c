#pragma once  // worker/program/program_model.h: a user's program in the place of a built-in model and
              // optimizer
#include <string>

#include "common/program/program_link.h"
#include "learning/dataset.h"
#include "learning/model.h"
#include "learning/optimizer.h"

namespace muster::program {

// Gradients by the program. `parameters` and `gradient` of each call are the link's memory, so that nothing
// is copied. After an error of the link its results are of no use: ask ProgramLink::failure.
class ProgramModel final : public learning::Model {
 public:
  explicit ProgramModel(ProgramLink& link);  // which has met its program, and outlives it
  [[nodiscard]] std::span<const learning::Tensor> tensors() const override { return tensors_; }
  [[nodiscard]] std::int64_t parameter_count() const override { return link_.model().parameters; }
  // Those that the program began with, whatever the seed.
  [[nodiscard]] std::vector<float> initial_parameters(std::uint64_t seed) const override;
  [[nodiscard]] double gradient(std::span<const float> parameters, const learning::Examples& data,
                                std::span<const std::int64_t> rows, std::span<float> gradient) override;
  [[nodiscard]] double gradient_by_parts(std::span<const float> parameters, const learning::Examples& data,
                                         std::span<const std::int64_t> rows, std::span<float> gradient,
                                         const Ready& ready) override;
  // Programs test their models themselves.
  [[nodiscard]] learning::Evaluation evaluate(std::span<const float> parameters,
                                              const learning::Examples& data) override;

 private:
  ProgramLink& link_;
  std::vector<learning::Tensor> tensors_;
};

// Steps by the program's own optimizer, and its state as one slot of bytes: a survivor's goes to those who
// join, rank 0's into checkpoints.
class ProgramOptimizer final : public learning::Optimizer {
 public:
  explicit ProgramOptimizer(ProgramLink& link) : link_(link) {}
  void step(std::span<float> parameters, std::span<const float> gradient) override;
  // The program's present state; between make_room and set_steps, room for another, which set_steps hands to
  // the program.
  [[nodiscard]] std::vector<Slot> slots() override;
  [[nodiscard]] bool has_state_of_any_size() const override { return true; }
  void make_room(std::size_t values) override;
  [[nodiscard]] std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override;

 private:
  void fetch();
  ProgramLink& link_;
  std::vector<float> state_;     // pack()ed
  bool is_programs_ = false;     // the program has state_
  bool is_awaited_ = false;      // what comes is written to state_
  std::vector<float> programs_;  // what the program was known to have when room was made
  std::int64_t steps_ = 0;
};

// Examples that are known by their number, and a digest of the model's tensors, that number and the
// fingerprint of the examples, if the program tells one.
[[nodiscard]] learning::Dataset dataset_of(const ProgramLink::Model& model);
// Of names and shapes, in hex.
[[nodiscard]] std::string hash_of(const std::vector<TensorShape>& tensors);

}  // namespace muster::program
