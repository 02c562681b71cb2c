#pragma once  // operator/core/failure_rules.h: spec.runPolicy.failurePolicy, applied to the ends of pods
#include <string>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

// The first rule that fits the end of `pod`, with its number; null: none does, or the pod lives. A container
// is known by its name; `role` names the one whose end counts as the pod's.
struct RuleMatch {
  const spec::FailureRule* rule = nullptr;
  std::size_t number = 0;
  explicit operator bool() const { return rule != nullptr; }
};
[[nodiscard]] RuleMatch rule_for(const std::vector<spec::FailureRule>& rules, const Pod& pod);

// How the pod ended, and "runPolicy.failurePolicy.rules[2] says FailJob".
[[nodiscard]] std::string words_on(const RuleMatch& match, const Pod& pod);

// The object fails or all its pods start anew; RestartPod is RestartJob here, Ignore does not count. The pass
// is over then.
void obey(Pass& pass, const RuleMatch& match, const Pod& pod, std::int64_t restarts_max);

}  // namespace muster::op
