#pragma once  // learning/doubts.h: a training that ended as planned, but whose model is no good. Pure
#include <cstdint>
#include <optional>
#include <string>

namespace muster::learning {

struct TrainingEnd {      // of a classification by cross entropy, or of anything by a user's program
  double first_loss = 0;  // of the first step or round
  double last_loss = 0;   // mean over the last epoch, or of the last round
  std::optional<double> accuracy{};  // of the last evaluation
  std::int64_t classes = 0;          // below 2: not known, so the loss is compared with the first one alone
  std::int64_t steps = 0;            // or rounds
};

// One sentence for the user with fact and remedy, when the loss ended far above that of guessing (ln of the
// classes) or far above where it began, or when many steps left the model no better than guessing; else
// nothing. Losses that are not finite are errors elsewhere.
[[nodiscard]] std::optional<std::string> doubt_about(const TrainingEnd& end);

// "NaN", "infinite" or the number: printf and its kin write "-nan", which nobody looks for.
[[nodiscard]] std::string loss_text(double loss);

}  // namespace muster::learning
