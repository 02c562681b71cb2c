// learning/doubts.cc: thresholds against the loss of guessing
#include "learning/doubts.h"

#include <fmt/format.h>

#include <algorithm>
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
constexpr auto kRemedyOfProgram =
    "lower the program's learning rate, scale its inputs, or check how it computes the loss";

constexpr double kLeastRise =
    1;  // of a loss whose scale nobody knows: it may begin at 0, or with a model that is trained

// Of a loss that may be below 0, as a log-likelihood is, too.
bool is_far_above(double last, double first, double least_rise = 0) {
  return last > first + std::max((kFarAboveStart - 1) * std::abs(first), least_rise);
}

}  // namespace

std::optional<std::string> doubt_about(const TrainingEnd& end) {
  if (end.steps < 1 || !std::isfinite(end.last_loss)) return std::nullopt;
  const std::string accuracy =
      end.accuracy ? fmt::format(" and the accuracy is {:.1f} %", 100 * *end.accuracy) : "";
  const std::string what = fmt::format("the training ended with a loss of {:.4g}{}", end.last_loss, accuracy);
  const auto diverged = [&](const char* remedy) {
    return fmt::format("{}: it began with {:.4g}, so the training diverged; {}", what, end.first_loss,
                       remedy);
  };
  if (end.classes < 2) {
    return is_far_above(end.last_loss, end.first_loss, kLeastRise) ? std::optional(diverged(kRemedyOfProgram))
                                                                   : std::nullopt;
  }
  const double guessing = std::log(static_cast<double>(end.classes));
  if (end.last_loss > kFarAboveGuessing * guessing)
    return fmt::format(
        "{}: guessing among {} classes has {:.4g}, so the training diverged or its steps are too "
        "large; {}",
        what, end.classes, guessing, kRemedy);
  if (is_far_above(end.last_loss, end.first_loss)) return diverged(kRemedy);
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
