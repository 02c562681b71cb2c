// operator/core/progress.cc: what the agents tell, folded into status.progress and status.history
#include "operator/core/progress.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace muster::op {
namespace {

constexpr std::size_t kHistoryMax = 200;  // points kept in status; the CRD allows as many

// Doubles as a person reads them, in a table too; what is not finite has no JSON form and is left out.
void put(Json& json, const char* name, double value, int digits = 4) {
  if (!std::isfinite(value)) return;
  json[name] = std::strtod(fmt::format("{:.{}g}", value, digits).c_str(), nullptr);
}

void put(Json& json, const char* name, const std::optional<double>& value) {
  if (value) put(json, name, *value);
}

Json point_to_json(const Point& point) {
  Json json{{"at", point.at}};
  put(json, "loss", point.loss, 6);
  if (point.accuracy) put(json, "accuracy", *point.accuracy, 6);
  return json;
}

std::int64_t at_of(const Json& point) {
  const auto at = point.is_object() ? point.find("at") : point.end();
  return point.is_object() && at != point.end() && at->is_number_integer() ? at->get<std::int64_t>() : 0;
}

// The known curve up to where the new one begins (a restarted pod tells only what it saw), then the new one.
Json joined(const Json& known, const std::vector<Point>& fresh) {
  Json joined = Json::array();
  if (known.is_array()) {
    for (const Json& point : known)
      if (fresh.empty() || at_of(point) < fresh.front().at) joined.push_back(point);
  }
  for (const Point& point : fresh) joined.push_back(point_to_json(point));
  while (joined.size() > kHistoryMax) {  // every second point goes, the last one stays
    Json thinner = Json::array();
    for (std::size_t i = (joined.size() - 1) % 2; i < joined.size(); i += 2)
      thinner.push_back(std::move(joined[i]));
    joined = std::move(thinner);
  }
  return joined;
}

void fold_history(Pass& pass, std::vector<Point> fresh, const std::optional<Point>& last) {
  if (last && (fresh.empty() || fresh.back().at < last->at)) {
    const Json& known = pass.after.history;
    const bool is_new = !known.is_array() || known.empty() || at_of(known.back()) < last->at;
    if (!fresh.empty() || is_new) fresh.push_back(*last);
  }
  if (!fresh.empty()) pass.after.history = joined(pass.after.history, fresh);
}

Json worker_to_json(const WorkerProgress& worker) {
  Json json{
      {"step", worker.step}, {"totalSteps", worker.total_steps}, {"gradientBytes", worker.gradient_bytes}};
  put(json, "epoch", worker.epoch);
  put(json, "loss", worker.loss);
  put(json, "testLoss", worker.test_loss);
  put(json, "accuracy", worker.accuracy);
  put(json, "examplesPerSecond", worker.examples_per_second);
  if (worker.resumed_from_step > 0) json["resumedFromStep"] = worker.resumed_from_step;
  return json;
}

}  // namespace

std::optional<AgentStatus> word_of(const Pass& pass, const Pod& pod) {
  std::optional<AgentStatus> word;
  const auto told = pass.seen.agents.find(pod.uid);
  if (told != pass.seen.agents.end() && told->second.membership == pass.before.membership)
    word = told->second;
  if (pod.phase != PodPhase::kSucceeded || !pod.end) return word;
  if (std::optional<AgentStatus> last = agent_status_from_json(pod.end->message)) {
    if (word && word->worker && last->worker) last->worker->history = std::move(word->worker->history);
    if (word && word->aggregator && last->aggregator)
      last->aggregator->history = std::move(word->aggregator->history);
    return last;
  }
  return word;
}

void fold_workers(Pass& pass, const std::vector<const Pod*>& workers) {
  std::optional<WorkerProgress> first;
  std::uint64_t sent = 0;
  std::uint64_t expected = 0;
  std::string digest;
  std::size_t digests = 0;
  for (const Pod* pod : workers) {
    std::optional<AgentStatus> word = word_of(pass, *pod);
    if (!word || !word->worker) continue;
    sent += word->worker->payload_bytes_sent;
    expected += word->worker->payload_bytes_expected;
    if (!word->worker->parameters_sha256.empty()) {
      digest = word->worker->parameters_sha256;
      ++digests;
    }
    if (pod->index == 0) first = std::move(word->worker);
  }
  if (!first || first->total_steps == 0) return;
  Json progress = worker_to_json(*first);
  progress["payloadBytesSent"] = sent;
  progress["payloadBytesExpected"] = expected;
  if (digests == workers.size() && !parameters_diverged(pass, workers)) progress["parametersSha256"] = digest;
  pass.after.progress = std::move(progress);
  std::optional<Point> last;
  if (first->test_loss && first->step == first->total_steps)
    last = Point{.at = first->step, .loss = *first->test_loss, .accuracy = first->accuracy};
  fold_history(pass, std::move(first->history), last);
}

void fold_aggregator(Pass& pass, const Pod& aggregator) {
  std::optional<AgentStatus> word = word_of(pass, aggregator);
  if (!word || !word->aggregator || word->aggregator->rounds == 0) return;
  AggregatorProgress& told = *word->aggregator;
  Json progress{{"round", told.round},
                {"rounds", told.rounds},
                {"connected", told.connected},
                {"selected", told.selected},
                {"configured", told.configured},
                {"reported", told.reported},
                {"late", told.late},
                {"dropped", told.dropped},
                {"bytesSent", told.bytes_sent},
                {"bytesReceived", told.bytes_received},
                {"bytesExpected", told.bytes_expected},
                {"modelBytes", told.model_bytes},
                {"targetReached", told.target_reached}};
  put(progress, "loss", told.loss);
  put(progress, "accuracy", told.accuracy);
  pass.after.progress = std::move(progress);
  std::optional<Point> last;
  if (told.loss && told.round > 0)
    last = Point{.at = told.round, .loss = *told.loss, .accuracy = told.accuracy};
  fold_history(pass, std::move(told.history), last);
}

std::optional<std::string> parameters_diverged(const Pass& pass, const std::vector<const Pod*>& workers) {
  const Pod* told_by = nullptr;
  std::string digest;
  for (const Pod* pod : workers) {
    const std::optional<AgentStatus> word = word_of(pass, *pod);
    if (!word || !word->worker || word->worker->parameters_sha256.empty()) continue;
    if (told_by == nullptr) {
      told_by = pod;
      digest = word->worker->parameters_sha256;
    } else if (word->worker->parameters_sha256 != digest) {
      return fmt::format(
          "{} and {} ended with different parameters ({:.12} and {:.12}); synchronous workers must agree",
          told_by->name, pod->name, digest, word->worker->parameters_sha256);
    }
  }
  return std::nullopt;
}

}  // namespace muster::op
