// operator/api/status.cc: the status of both kinds from and to JSON, and the patch between two of them
#include "operator/api/status.h"

#include "common/base/rfc3339.h"
#include "common/json/access.h"

namespace muster::op::api {
namespace {

void put_time(Json& json, const char* name, const std::optional<WallTime>& time) {
  if (time) json[name] = rfc3339(*time);
}

}  // namespace

JobStatus status_from_json(const Json& json) {
  JobStatus status;
  if (!json.is_object()) return status;
  status.phase = text_at(json, "phase");
  status.observed_generation = integer_at(json, "observedGeneration");
  status.conditions = conditions_from_json(member(json, "conditions"));
  status.start_time = parse_rfc3339(text_at(json, "startTime"));
  status.completion_time = parse_rfc3339(text_at(json, "completionTime"));
  status.restarts = integer_at(json, "restarts");
  status.disruptions = integer_at(json, "disruptions");
  status.incarnation = integer_at(json, "incarnation");
  status.formed_incarnation = integer_at(json, "formedIncarnation");
  status.membership = integer_at(json, "membership");
  if (const Json& roster = member(json, "roster"); roster.is_array()) {
    for (const Json& each : roster)
      status.roster.push_back({.index = integer_at(each, "index"), .uid = text_at(each, "podUID")});
  }
  status.holders = integer_at(json, "holders");
  status.last_failure_time = parse_rfc3339(text_at(json, "lastFailureTime"));
  status.last_restart_time = parse_rfc3339(text_at(json, "lastRestartTime"));
  status.last_progress_time = parse_rfc3339(text_at(json, "lastProgressTime"));
  status.replicas = integer_at(json, "replicas");
  status.ready_replicas = integer_at(json, "readyReplicas");
  status.ready = text_at(json, "ready");
  status.selector = text_at(json, "selector");
  status.gang = text_at(json, "gang");
  status.state_digest = text_at(json, "stateDigest");
  if (const Json& ranks = member(json, "succeededRanks"); ranks.is_array()) {
    for (const Json& rank : ranks)
      if (rank.is_number_integer()) status.succeeded_ranks.push_back(rank.get<std::int64_t>());
  }
  if (const Json& attempts = member(json, "podAttempts"); attempts.is_array()) {
    for (const Json& item : attempts) {
      if (!item.is_object()) continue;
      status.pod_attempts.push_back(
          {.index = integer_at(item, "index"),
           .attempt = integer_at(item, "attempt"),
           .failures = integer_at(item, "failures"),
           .in_a_row = integer_at(item, "inARow"),
           .failed_at = parse_rfc3339(text_at(item, "failedAt")).value_or(WallTime{})});
    }
  }
  if (const Json& progress = member(json, "progress"); progress.is_object()) status.progress = progress;
  if (const Json& history = member(json, "history"); history.is_array()) status.history = history;
  return status;
}

Json to_json(const JobStatus& status) {
  Json json{{"phase", status.phase},
            {"observedGeneration", status.observed_generation},
            {"conditions", to_json(status.conditions)},
            {"restarts", status.restarts},
            {"disruptions", status.disruptions},
            {"incarnation", status.incarnation},
            {"formedIncarnation", status.formed_incarnation},
            {"membership", status.membership},
            {"replicas", status.replicas},
            {"readyReplicas", status.ready_replicas},
            {"ready", status.ready},
            {"selector", status.selector}};
  put_time(json, "startTime", status.start_time);
  put_time(json, "completionTime", status.completion_time);
  put_time(json, "lastRestartTime", status.last_restart_time);
  put_time(json, "lastProgressTime", status.last_progress_time);
  put_time(json, "lastFailureTime", status.last_failure_time);
  if (!status.roster.empty()) {
    Json& list = json["roster"] = Json::array();
    for (const RosterMember& each : status.roster)
      list.push_back({{"index", each.index}, {"podUID", each.uid}});
  }
  if (status.holders > 0) json["holders"] = status.holders;
  if (!status.gang.empty()) json["gang"] = status.gang;
  if (!status.state_digest.empty()) json["stateDigest"] = status.state_digest;
  if (!status.succeeded_ranks.empty()) json["succeededRanks"] = status.succeeded_ranks;
  if (!status.pod_attempts.empty()) {
    Json& list = json["podAttempts"] = Json::array();
    for (const PodAttempt& attempt : status.pod_attempts)
      list.push_back({{"index", attempt.index},
                      {"attempt", attempt.attempt},
                      {"failures", attempt.failures},
                      {"inARow", attempt.in_a_row},
                      {"failedAt", rfc3339(attempt.failed_at)}});
  }
  if (!status.progress.is_null()) json["progress"] = status.progress;
  if (!status.history.is_null()) json["history"] = status.history;
  return json;
}

Json merge_patch(const Json& from, const Json& to) {
  Json patch = Json::object();
  for (const auto& item : from.items()) {
    if (!to.contains(item.key())) patch[item.key()] = nullptr;
  }
  for (const auto& item : to.items()) {
    const auto before = from.find(item.key());
    if (before != from.end() && before->is_object() && item.value().is_object()) {
      if (Json inner = merge_patch(*before, item.value()); !inner.empty())
        patch[item.key()] = std::move(inner);
    } else if (before == from.end() || *before != item.value()) {
      patch[item.key()] = item.value();
    }
  }
  return patch;
}

}  // namespace muster::op::api
