// local/api/builtin_workloads.cc: the checks of Deployments, ReplicaSets and Jobs
#include <fmt/format.h>

#include "local/api/builtin_checks.h"
#include "local/api/metadata.h"

namespace muster::local {
namespace {

void not_negative(const Json& spec, const char* name, FieldErrors& errors) {
  if (const Json value = spec.value(name, Json(0)); value.is_number() && value < 0)
    errors.push_back(
        FieldError::invalid(std::string("spec.") + name, value, "must be greater than or equal to 0"));
}

bool selects(const Json& selector, const Json& labels) {
  for (const auto& [key, value] : object_of(selector, "matchLabels").items())
    if (labels.value(key, Json()) != value) return false;
  for (const Json& each : array_of(selector, "matchExpressions")) {
    const std::string key = text_at(each, "key"), how = text_at(each, "operator");
    const bool there = labels.contains(key);
    const Json& values = array_of(each, "values");
    const bool in = there && std::find(values.begin(), values.end(), labels[key]) != values.end();
    if ((how == "In" && !in) || (how == "NotIn" && in) || (how == "Exists" && !there) ||
        (how == "DoesNotExist" && there))
      return false;
  }
  return true;
}

std::string shown_selector(const Json& selector) {
  return fmt::format(
      "v1.LabelSelector{{MatchLabels:{}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}",
      go_string_map(object_of(selector, "matchLabels")));
}

bool is_zero(const Json& rolling, const char* name) {
  const Json& value = member(rolling, name);
  return value == 0 || value == "0%";
}

// A count of pods, or a share of them: "25%".
void check_bound(const Json& rolling, const char* name, FieldErrors& errors) {
  const Json& value = member(rolling, name);
  const std::string field = std::string("spec.strategy.rollingUpdate.") + name;
  if (value.is_number() && value < 0)
    errors.push_back(FieldError::invalid(field, value, "must be greater than or equal to 0"));
  if (!value.is_string()) return;
  const std::string share = value.get<std::string>();
  if (share.size() < 2 || share.size() > 8 || share.find_first_not_of("0123456789") != share.size() - 1 ||
      share.back() != '%')
    errors.push_back(FieldError::invalid(
        field, value,
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
        "regex used for validation is '[0-9]+%')"));
}

void check_strategy(const Kind& kind, const Json& spec, FieldErrors& errors) {
  if (kind.kind != "Deployment") return;
  const Json& strategy = object_of(spec, "strategy");
  const std::string type = text_at(strategy, "type");
  if (type == "Recreate" && strategy.contains("rollingUpdate"))
    errors.push_back(FieldError::forbidden("spec.strategy.rollingUpdate",
                                           "may not be specified when strategy `type` is 'Recreate'"));
  // What the controller here does not do is refused instead of being accepted and doing nothing.
  if (type == "Recreate")
    errors.push_back(FieldError::forbidden("spec.strategy.type",
                                           "Recreate is not there without a cluster; use RollingUpdate with "
                                           "maxSurge 0 and maxUnavailable 100%"));
  if (spec.value("paused", Json(false)) == Json(true))
    errors.push_back(FieldError::forbidden("spec.paused", "rollouts are not paused without a cluster"));
  const Json& rolling = object_of(strategy, "rollingUpdate");
  check_bound(rolling, "maxUnavailable", errors);
  check_bound(rolling, "maxSurge", errors);
  if (is_zero(rolling, "maxUnavailable") && is_zero(rolling, "maxSurge"))
    errors.push_back(FieldError::invalid("spec.strategy.rollingUpdate.maxUnavailable",
                                         rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0"));
  const Json delay = spec.value("progressDeadlineSeconds", Json(600)),
             ready = spec.value("minReadySeconds", Json(0));
  if (delay.is_number() && ready.is_number() && delay <= ready)
    errors.push_back(
        FieldError::invalid("spec.progressDeadlineSeconds", delay, "must be greater than minReadySeconds"));
}

// Deployment and the like: a selector, and pods that it selects.
void check_set(const Kind& kind, const Json& object, const Json* old, FieldErrors& errors) {
  const Json& spec = object_of(object, "spec");
  const Json& selector = object_of(spec, "selector");
  const Json& pod_template = object_of(spec, "template");
  for (const char* name : {"replicas", "minReadySeconds", "revisionHistoryLimit"})
    not_negative(spec, name, errors);
  std::string lower = kind.kind;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!spec.contains("selector"))
    errors.push_back(FieldError::required("spec.selector"));
  else if (object_of(selector, "matchLabels").empty() && array_of(selector, "matchExpressions").empty())
    errors.push_back(go_invalid("spec.selector", shown_selector(selector),
                                fmt::format("empty selector is invalid for {}", lower)));
  const Json& labels = object_of(object_of(pod_template, "metadata"), "labels");
  if (!selects(selector, labels) || (!spec.contains("selector") && !labels.empty()))
    errors.push_back(go_invalid("spec.template.metadata.labels", go_string_map(labels),
                                "`selector` does not match template `labels`"));
  validate_pod_spec(object_of(pod_template, "spec"), "spec.template.spec", errors);
  const std::string restart = text_at(object_of(pod_template, "spec"), "restartPolicy");
  if (restart != "Always" && !restart.empty())
    errors.push_back(FieldError::not_supported("spec.template.spec.restartPolicy", restart, {"Always"}));
  if (object_of(pod_template, "spec").contains("activeDeadlineSeconds"))
    errors.push_back(FieldError::forbidden("spec.template.spec.activeDeadlineSeconds",
                                           "activeDeadlineSeconds in ReplicaSet is not Supported"));
  check_strategy(kind, spec, errors);
  if (old == nullptr) return;
  if (object_of(object_of(*old, "spec"), "selector") != selector)
    errors.push_back(go_invalid("spec.selector", shown_selector(selector), "field is immutable"));
}

void check_job_spec(const Json& spec, const std::string& root, FieldErrors& errors) {
  for (const char* name : {"parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"})
    if (const Json value = spec.value(name, Json(0)); value.is_number() && value < 0)
      errors.push_back(
          FieldError::invalid(join_path(root, name), value, "must be greater than or equal to 0"));
  if (const Json limit = spec.value("activeDeadlineSeconds", Json(0)); limit.is_number() && limit < 0)
    errors.push_back(
        FieldError::invalid(root + ".activeDeadlineSeconds", limit, "must be greater than or equal to 0"));
  const std::string mode = text_at(spec, "completionMode");
  if (mode == "Indexed" && !spec.contains("completions"))
    errors.push_back(FieldError::required(root + ".completions", "when completion mode is Indexed"));
  if (!mode.empty() && mode != "Indexed" && mode != "NonIndexed")
    errors.push_back(FieldError::not_supported(root + ".completionMode", mode, {"Indexed", "NonIndexed"}));
  const Json& pod = object_of(object_of(spec, "template"), "spec");
  validate_pod_spec(pod, root + ".template.spec", errors);
  const std::string restart = text_at(pod, "restartPolicy");
  if (restart == "Always" || restart.empty())
    errors.push_back(FieldError::required(root + ".template.spec.restartPolicy",
                                          "valid values: \"OnFailure\", \"Never\""));
}

void check_job_update(const Json& object, const Json& old, FieldErrors& errors) {
  const Json& now = object_of(object, "spec");
  const Json& before = object_of(old, "spec");
  if (now.value("completionMode", Json()) != before.value("completionMode", Json()))
    errors.push_back(FieldError::invalid("spec.completionMode", now.value("completionMode", Json()),
                                         "field is immutable"));
  if (text_at(now, "completionMode") != "Indexed" &&
      now.value("completions", Json()) != before.value("completions", Json()))
    errors.push_back(
        FieldError::invalid("spec.completions", now.value("completions", Json()), "field is immutable"));
  if (now.value("template", Json()) != before.value("template", Json()))
    errors.push_back(go_invalid("spec.template", "core.PodTemplateSpec{}", "field is immutable"));
}

}  // namespace

void validate_workload(const Kind& kind, const Json& object, const Json* old, FieldErrors& errors) {
  if (kind.kind == "Job") {
    check_job_spec(object_of(object, "spec"), "spec", errors);
    if (old != nullptr) check_job_update(object, *old, errors);
  } else {
    check_set(kind, object, old, errors);
  }
}

}  // namespace muster::local
