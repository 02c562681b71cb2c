// common/spec/failure_rules.cc: spec.runPolicy.failurePolicy from JSON
#include "common/spec/failure_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/json/whole_number.h"
#include "common/spec/into.h"

namespace muster::spec {
namespace {

constexpr std::size_t kValuesMax = 255;
constexpr std::size_t kRequirementsMax = 20;

FailureAction action_of(const std::string& word) {
  if (word == "RestartJob") return FailureAction::kRestartJob;
  if (word == "RestartPod") return FailureAction::kRestartPod;
  return word == "Ignore" ? FailureAction::kIgnore : FailureAction::kFailJob;
}

Result<OnExitCodes> exit_codes_from_json(const Json& json, const std::string& path) {
  OnExitCodes codes;
  std::string how;
  MUSTER_TRY(Fields(json, path)
                 .string("containerName", codes.container_name)
                 .one_of("operator", how, {"In", "NotIn"})
                 .require("operator")
                 .require("values")
                 .each("values",
                       [&](const Json& value, const std::string& at) -> Status {
                         const auto code = whole_number(value);
                         if (!code || *code < 1 || *code > 255)
                           return invalid_argument(fmt::format(
                               "{}: must be an exit code from 1 to 255, is {}; a container that ends with 0 "
                               "has not failed",
                               at, value.dump()));
                         codes.values.push_back(*code);
                         return {};
                       })
                 .finish());
  if (codes.values.empty() || codes.values.size() > kValuesMax)
    return invalid_argument(fmt::format("{}.values: 1 to {} exit codes", path, kValuesMax));
  codes.in = how == "In";
  return codes;
}

Result<OnPodCondition> condition_from_json(const Json& json, const std::string& path) {
  OnPodCondition condition;
  MUSTER_TRY(Fields(json, path)
                 .string("type", condition.type)
                 .require("type")
                 .one_of("status", condition.status, {"True", "False", "Unknown"})
                 .finish());
  return condition;
}

Result<FailureRule> rule_from_json(const Json& json, const std::string& path) {
  FailureRule rule;
  std::string action;
  MUSTER_TRY(Fields(json, path)
                 .one_of("action", action, {"FailJob", "RestartJob", "RestartPod", "Ignore"})
                 .require("action")
                 .object("onExitCodes", into(rule.on_exit_codes, exit_codes_from_json))
                 .each("onReasons",
                       [&](const Json& value, const std::string& at) -> Status {
                         if (!value.is_string() || value.get_ref<const std::string&>().empty())
                           return invalid_argument(
                               at + ": must be a reason such as OOMKilled or Evicted, is " + value.dump());
                         rule.on_reasons.push_back(value.get<std::string>());
                         return {};
                       })
                 .each("onPodConditions", onto(rule.on_pod_conditions, condition_from_json))
                 .finish());
  rule.action = action_of(action);
  const int requirements = (rule.on_exit_codes ? 1 : 0) + (rule.on_reasons.empty() ? 0 : 1) +
                           (rule.on_pod_conditions.empty() ? 0 : 1);
  if (requirements != 1)
    return invalid_argument(path + ": needs exactly one of onExitCodes, onReasons and onPodConditions");
  if (std::max(rule.on_reasons.size(), rule.on_pod_conditions.size()) > kRequirementsMax)
    return invalid_argument(fmt::format("{}: at most {} reasons or conditions", path, kRequirementsMax));
  return rule;
}

}  // namespace

Result<std::vector<FailureRule>> failure_rules_from_json(const Json& json, const std::string& path) {
  std::vector<FailureRule> rules;
  MUSTER_TRY(Fields(json, path).require("rules").each("rules", onto(rules, rule_from_json)).finish());
  if (rules.empty() || rules.size() > kFailureRulesMax)
    return invalid_argument(fmt::format("{}.rules: 1 to {} rules", path, kFailureRulesMax));
  return rules;
}

}  // namespace muster::spec
