// learning/doubts.cc: thresholds against the loss of guessing
#include "learning/doubts.h"

#include <fmt/format.h>

#include <cmath>

namespace muster::learning {
namespace {

constexpr double kFarAboveGuessing = 1.2;  // times ln(classes): a model that is confident and wrong
constexpr double kFarAboveStart = 2;       // times the first loss
constexpr double kAsGuessing = 0.98;       // times ln(classes): noise of the last epoch
constexpr double kSurelyBetter = 1.5;      // times the accuracy of guessing
constexpr std::int64_t kManySteps = 50;    // fewer may be too few to have learnt anything

constexpr auto kRemedy =
    "lower optimizer.learningRate, scale the features (near 0, spread about 1), or check the labels";

}  // namespace

std::optional<std::string> doubt_about(const TrainingEnd& end) {
  if (end.classes < 2 || end.steps < 1 || !std::isfinite(end.last_loss)) return std::nullopt;
  const double guessing = std::log(static_cast<double>(end.classes));
  const std::string accuracy =
      end.accuracy ? fmt::format(" and the accuracy is {:.1f} %", 100 * *end.accuracy) : "";
  const std::string what = fmt::format("the training ended with a loss of {:.4g}{}", end.last_loss, accuracy);
  if (end.last_loss > kFarAboveGuessing * guessing)
    return fmt::format(
        "{}: guessing among {} classes has {:.4g}, so the training diverged or its steps are too "
        "large; {}",
        what, end.classes, guessing, kRemedy);
  if (end.last_loss > kFarAboveStart * end.first_loss)
    return fmt::format("{}: it began with {:.4g}, so the training diverged; {}", what, end.first_loss,
                       kRemedy);
  const bool better = end.accuracy && *end.accuracy > kSurelyBetter / static_cast<double>(end.classes);
  if (end.last_loss > kAsGuessing * guessing && end.steps >= kManySteps && !better)
    return fmt::format("{}: that is no better than guessing among {} classes ({:.4g}); {}", what, end.classes,
                       guessing, kRemedy);
  return std::nullopt;
}

std::string loss_text(double loss) {
  if (std::isnan(loss)) return "NaN";
  return std::isinf(loss) ? "infinite" : fmt::format("{}", loss);
}

}  // namespace muster::learning
