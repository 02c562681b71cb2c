// operator/api/status.cc: the status of both kinds from and to JSON, and the patch between two of them
#include "operator/api/status.h"

#include "common/base/rfc3339.h"
#include "common/json/access.h"

namespace muster::op::api {
namespace {

void put_time(Json& json, const char* name, const std::optional<WallTime>& time) {
  if (time) json[name] = rfc3339(*time);
}

std::vector<PodAttempt> attempts_from_json(const Json& list) {
  std::vector<PodAttempt> attempts;
  if (!list.is_array()) return attempts;
  for (const Json& item : list) {
    if (!item.is_object()) continue;
    attempts.push_back({.index = integer_at(item, "index"),
                        .attempt = integer_at(item, "attempt"),
                        .failures = integer_at(item, "failures"),
                        .in_a_row = integer_at(item, "inARow"),
                        .failed_at = parse_rfc3339(text_at(item, "failedAt")).value_or(WallTime{})});
  }
  return attempts;
}

Json to_json(const std::vector<PodAttempt>& attempts) {
  Json list = Json::array();
  for (const PodAttempt& attempt : attempts)
    list.push_back({{"index", attempt.index},
                    {"attempt", attempt.attempt},
                    {"failures", attempt.failures},
                    {"inARow", attempt.in_a_row},
                    {"failedAt", rfc3339(attempt.failed_at)}});
  return list;
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
  if (const Json& servers = member(json, "servers"); servers.is_array()) {
    for (const Json& each : servers)
      status.servers.push_back({.index = integer_at(each, "index"),
                                .uid = text_at(each, "podUID"),
                                .anew = member(each, "anew") == true});
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
  status.pod_attempts = attempts_from_json(member(json, "podAttempts"));
  status.server_attempts = attempts_from_json(member(json, "serverAttempts"));
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
  if (!status.servers.empty()) {
    Json& list = json["servers"] = Json::array();
    for (const ServerMember& each : status.servers) {
      Json& item = list.emplace_back(Json{{"index", each.index}});
      if (!each.uid.empty()) item["podUID"] = each.uid;
      if (each.anew) item["anew"] = true;
    }
  }
  if (status.holders > 0) json["holders"] = status.holders;
  if (!status.gang.empty()) json["gang"] = status.gang;
  if (!status.state_digest.empty()) json["stateDigest"] = status.state_digest;
  if (!status.succeeded_ranks.empty()) json["succeededRanks"] = status.succeeded_ranks;
  if (!status.pod_attempts.empty()) json["podAttempts"] = to_json(status.pod_attempts);
  if (!status.server_attempts.empty()) json["serverAttempts"] = to_json(status.server_attempts);
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
