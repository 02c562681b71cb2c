// operator/core/failure_rules.cc: spec.runPolicy.failurePolicy, applied to the ends of pods
#include "operator/core/failure_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/core/failure_policy.h"
#include "operator/core/lifecycle.h"

namespace muster::op {
namespace {

bool contains(const std::vector<std::int64_t>& values, std::int64_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// A container of the role has no name here: it is the one that a rule without a name means, and the one that
// carries the role's name.
bool names_container(const std::string& rule, const ContainerEnd& end, const Pod& pod) {
  if (end.container.empty()) return rule.empty() || rule == pod.role || rule == pod.container;
  return rule == end.container;
}

bool fits(const spec::OnExitCodes& codes, const Pod& pod) {
  if (!pod.end || pod.end->exit_code == 0 || !names_container(codes.container_name, *pod.end, pod))
    return false;
  return contains(codes.values, pod.end->exit_code) == codes.in;
}

bool fits_reason(const std::vector<std::string>& reasons, const Pod& pod) {
  return std::any_of(reasons.begin(), reasons.end(), [&pod](const std::string& reason) {
    return reason == pod.reason || (pod.end && reason == pod.end->reason);
  });
}

bool fits_condition(const std::vector<spec::OnPodCondition>& wanted, const Pod& pod) {
  return std::any_of(wanted.begin(), wanted.end(), [&pod](const spec::OnPodCondition& condition) {
    return std::any_of(pod.conditions.begin(), pod.conditions.end(), [&](const PodCondition& has) {
      return has.type == condition.type && has.status == condition.status;
    });
  });
}

const char* name_of(spec::FailureAction action) {
  switch (action) {
    case spec::FailureAction::kFailJob: return "FailJob";
    case spec::FailureAction::kRestartJob: return "RestartJob";
    case spec::FailureAction::kRestartPod: return "RestartPod";
    case spec::FailureAction::kIgnore: break;
  }
  return "Ignore";
}

}  // namespace

RuleMatch rule_for(const std::vector<spec::FailureRule>& rules, const Pod& pod) {
  const PodFate fate = fate_of(pod);
  if (fate != PodFate::kFailed && fate != PodFate::kDisrupted) return {};
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const spec::FailureRule& rule = rules[i];
    if ((rule.on_exit_codes && fits(*rule.on_exit_codes, pod)) || fits_reason(rule.on_reasons, pod) ||
        fits_condition(rule.on_pod_conditions, pod))
      return {&rule, i};
  }
  return {};
}

std::string words_on(const RuleMatch& match, const Pod& pod) {
  return with_note(end_of(pod), fmt::format("runPolicy.failurePolicy.rules[{}] says {}", match.number,
                                            name_of(match.rule->action)));
}

void obey(Pass& pass, const RuleMatch& match, const Pod& pod, std::int64_t restarts_max) {
  const std::string words = words_on(match, pod);
  switch (match.rule->action) {
    case spec::FailureAction::kFailJob: return fail(pass, "FailurePolicy", words);
    case spec::FailureAction::kRestartJob:
    case spec::FailureAction::kRestartPod: return restart(pass, Cause::kFailure, words, restarts_max);
    case spec::FailureAction::kIgnore: return restart(pass, Cause::kDisruption, words, restarts_max);
  }
}

}  // namespace muster::op
