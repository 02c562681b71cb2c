#pragma once  // operator/core/failure_rules.h: spec.runPolicy.failurePolicy, applied to the ends of pods
#include <string>
#include <vector>

#include "operator/core/observed.h"

namespace muster::op {

// The first rule that fits the end of `pod`, with its number; null: none does, or the pod lives. A container
// is known by its name; `role` names the one whose end counts as the pod's.
struct RuleMatch {
  const spec::FailureRule* rule = nullptr;
  std::size_t number = 0;
  explicit operator bool() const { return rule != nullptr; }
};
[[nodiscard]] RuleMatch rule_for(const std::vector<spec::FailureRule>& rules, const Pod& pod);

// "rule 2 of runPolicy.failurePolicy says FailJob", to stand behind how the pod ended.
[[nodiscard]] std::string rule_note(const RuleMatch& match);

}  // namespace muster::op
