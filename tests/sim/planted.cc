// tests/sim/planted.cc: what each planted bug does to decisions and requests
#include "planted.h"

#include <algorithm>
#include <array>

#include "common/json/access.h"
#include "common/json/read_json.h"
#include "operator/api/status.h"
#include "operator/core/failure_policy.h"

namespace muster::sim {
namespace {

struct Bug {
  const char* name;
  std::uint64_t seed;  // see finding_seed()
};

constexpr std::array<Bug, static_cast<std::size_t>(Planted::kMax)> kBugs{{
    {"none", 0},
    {"a stale status wins", 31},
    {"a retry under another name", 4},
    {"a restart is not counted", 3},
    {"a restart is counted twice", 3},
    {"a disruption counts as a restart", 3},
    {"the limit of restarts is ignored", 6},
    {"a finished object is begun anew", 1},
    {"a deletion is ignored", 164},
    {"every pod counts as ready", 2},
    {"an expired watch goes on", 24},
    {"nobody looks again", 2},
    {"deletes carry no uid", 80},
    {"every pass writes the status", 1},
    {"writes go on after the Lease is lost", 4},
    {"a new leader does not wait for its caches", 3},
    {"the Lease is taken too early", 1},
    {"a membership's number is used again", 20},
    {"those who join come first", 31},
    {"survivors are replaced", 51},
    {"both holders of a part are lost, and nobody restarts", 88},
}};

op::PatchStatus* status_of(op::Decision& decision) {
  for (op::Action& action : decision.actions)
    if (auto* patch = std::get_if<op::PatchStatus>(&action)) return patch;
  return nullptr;
}

std::int64_t restarts_of(const Json& object) { return integer(member(object, "status", "restarts")); }

// Of the object that the pass is to see.
Json falsified(Planted bug, Json object) {
  if (bug == Planted::kDeletionIgnored) object["metadata"].erase("deletionTimestamp");
  if (bug == Planted::kLimitIgnored) object["spec"]["runPolicy"]["maxRestarts"] = 100;
  if (bug == Planted::kTerminalForgotten && member(object, "status", "completionTime").is_string())
    object["status"] = {{"incarnation", member(object, "status", "incarnation")}};
  return object;
}

void falsify_membership(Planted bug, const Json& object, Json& status) {
  const Json& before = member(object, "status", "roster");
  if (bug == Planted::kMembershipReused && before.is_array() && status.contains("roster") &&
      status["roster"].is_array())
    status.erase("membership");
  if (bug == Planted::kJoinersFirst && before.is_array() && status.contains("roster") &&
      status["roster"].is_array())
    std::reverse(status["roster"].begin(), status["roster"].end());
  if (bug == Planted::kSurvivorsReplaced && status.contains("podAttempts") && before.is_array()) {
    Json attempts = Json::array();
    for (const Json& each : before)
      attempts.push_back(
          {{"index", each.at("index")}, {"attempt", 1000}, {"failedAt", "2030-01-01T00:00:00Z"}});
    status["podAttempts"] = std::move(attempts);
  }
}

// A restart of all becomes the replacement of those servers that are lost.
void replace_servers_alone(const Json& object, const op::Observed& seen, Json& status) {
  const Json& servers = member(object, "status", "servers");
  if (!servers.is_array() || servers.size() < 2 || !status.contains("incarnation")) return;
  Json members = Json::array();
  Json attempts = member(object, "status", "serverAttempts");
  if (!attempts.is_array()) attempts = Json::array();
  std::size_t lost = 0;
  for (Json server : servers) {
    const auto pod = std::ranges::find(seen.pods, server.value("podUID", ""), &op::Pod::uid);
    const bool lives = pod != seen.pods.end() && op::fate_of(*pod) == op::PodFate::kAlive;
    if (!lives) {
      ++lost;
      server["podUID"] = "";
      const auto known = std::ranges::find_if(
          attempts, [&](const Json& each) { return each.at("index") == server.at("index"); });
      if (known != attempts.end()) {
        (*known)["attempt"] = (*known)["attempt"].get<int>() + 1;
      } else {
        attempts.push_back(
            {{"index", server.at("index")}, {"attempt", 1}, {"failedAt", "2030-01-01T00:00:00Z"}});
      }
    }
    members.push_back(std::move(server));
  }
  if (lost > 1) status = {{"servers", members}, {"serverAttempts", attempts}};
}

void falsify(Planted bug, const Json& object, const op::Observed& seen, op::Decision& decision) {
  if (bug == Planted::kRequeueForgotten) decision.requeue_after = {};
  op::PatchStatus* patch = status_of(decision);
  if (patch == nullptr) {
    if (bug == Planted::kStatusEveryPass)
      decision.actions.emplace_back(op::PatchStatus{
          {{"metadata", {{"resourceVersion", meta_text(object, "resourceVersion")}}},
           {"status", {{"progress", {{"step", seen.now.time_since_epoch().count() % 1'000'000'007}}}}}}});
    return;
  }
  Json& status = patch->patch["status"];
  if (bug == Planted::kPartsLostIgnored) replace_servers_alone(object, seen, status);
  if (bug == Planted::kStaleStatusWins) patch->patch.erase("metadata");
  if (bug == Planted::kReadyCountsAll && status.contains("readyReplicas"))
    status["readyReplicas"] = static_cast<std::int64_t>(seen.pods.size());
  const bool restarts = status.contains("restarts");
  if (bug == Planted::kRestartNotCounted && restarts) status.erase("restarts");
  if (bug == Planted::kRestartCountedTwice && restarts) status["restarts"] = restarts_of(object) + 2;
  falsify_membership(bug, object, status);
  if (bug == Planted::kDisruptionCounted && status.contains("disruptions"))
    status["restarts"] = restarts_of(object) + 1;
}

class FaultyTransport final : public kube::HttpTransport {
 public:
  FaultyTransport(Planted bug, std::shared_ptr<kube::HttpTransport> real)
      : bug_(bug), real_(std::move(real)) {}

  Result<kube::HttpResponse> send(const kube::HttpRequest& request, Deadline deadline) override {
    kube::HttpRequest sent = request;
    if (bug_ == Planted::kDeletesWithoutUid && request.method == "DELETE") {
      Json body = read_json(request.body);
      body.erase("preconditions");
      sent.body = body.dump();
    }
    auto answer = real_->send(sent, deadline);
    if (bug_ == Planted::kLeaseTakenEarly && answer && request.method == "GET" &&
        request.target.find("/leases/") != std::string::npos && answer->status == 200) {
      Json lease = read_json(answer->body);
      lease["spec"]["leaseDurationSeconds"] = 3;
      answer->body = lease.dump();
    }
    if (bug_ != Planted::kRetryUnderAnotherName || answer || request.method != "POST" ||
        request.target.find("/pods") == std::string::npos)
      return answer;
    Json pod = read_json(request.body);
    pod["metadata"]["name"] = meta_text(pod, "name") + "-again";
    sent.body = pod.dump();
    return real_->send(sent, deadline);
  }

  Result<kube::HttpResponse> stream(const kube::HttpRequest& request, const kube::StreamOptions& options,
                                    const std::function<bool(std::string_view)>& on_bytes) override {
    if (bug_ != Planted::kExpiryIgnored) return real_->stream(request, options, on_bytes);
    kube::HttpRequest sent = request;  // goes on from whatever is newest
    if (skip_) {
      const auto version = sent.target.find("resourceVersion=");
      const auto end = sent.target.find('&', version);
      sent.target.replace(version, end - version, "resourceVersion=" + newest());
    }
    skip_ = false;
    return real_->stream(sent, options, [&](std::string_view bytes) {
      if (bytes.find("\"code\":410") == std::string_view::npos) return on_bytes(bytes);
      skip_ = true;
      return false;
    });
  }

 private:
  std::string newest() {
    const auto page =
        real_->send({.target = "/api/v1/pods?limit=1"}, deadline_after(std::chrono::seconds(10)));
    return page ? text(member(read_json(page->body), "metadata", "resourceVersion"), "1") : "1";
  }

  Planted bug_;
  std::shared_ptr<kube::HttpTransport> real_;
  bool skip_ = false;
};

}  // namespace

const char* name_of(Planted bug) { return kBugs[static_cast<std::size_t>(bug)].name; }

std::uint64_t finding_seed(Planted bug) { return kBugs[static_cast<std::size_t>(bug)].seed; }

op::Controller::Decide planted_decide(Planted bug, op::Controller::Decide decide) {
  if (bug == Planted::kNone) return decide;
  return [bug, decide = std::move(decide)](const Json& object,
                                           const op::Observed& seen) -> Result<op::Decision> {
    auto decision = decide(falsified(bug, object), seen);
    if (decision) falsify(bug, object, seen, *decision);
    return decision;
  };
}

std::shared_ptr<kube::HttpTransport> planted_transport(Planted bug,
                                                       std::shared_ptr<kube::HttpTransport> real) {
  if (bug == Planted::kNone) return real;
  return std::make_shared<FaultyTransport>(bug, std::move(real));
}

}  // namespace muster::sim
