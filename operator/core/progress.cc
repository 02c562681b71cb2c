// operator/core/progress.cc: what the agents tell, folded into status.progress and status.history
#include "operator/core/progress.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "common/base/check.h"
#include "common/json/access.h"
#include "common/json/read_json.h"
#include "operator/core/agent_status.h"
#include "operator/core/failure_policy.h"
#include "operator/core/incarnation.h"

namespace muster::op {
namespace {

using control::v1::AgentStatus;
using control::v1::AggregatorProgress;
using control::v1::EpochBalance;
using control::v1::Point;
using control::v1::WorkerProgress;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

Json figure(const Message& message, const FieldDescriptor& field, int digits) {
  const auto& values = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return values.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64: return values.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64: return values.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL: return values.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value = values.GetString(message, &field);
      return is_utf8(value) ? Json(std::move(value)) : Json();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const double value = values.GetDouble(message, &field);
      return std::isfinite(value) ? Json(rounded(value, digits)) : Json();
    }
    default: break;
  }
  constexpr bool kTypeOfControlProto = false;  // its figures are of the types above only
  MUSTER_CHECK(kTypeOfControlProto);
  return {};
}

// The proto JSON form with integers as numbers, whatever their width, and doubles rounded. What is absent has
// no member, nor has what JSON has no form for: a double that is not finite, a text that is not UTF-8. Lists
// are no figures.
Json figures(const Message& message, int digits = 4) {
  Json json = Json::object();
  const auto& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) continue;
    if (field.has_presence() && !message.GetReflection()->HasField(message, &field)) continue;
    Json value = figure(message, field, digits);
    if (!value.is_null()) json[field.json_name()] = std::move(value);
  }
  return json;
}

// How much is done, and how long the rest takes at `per_second`; not told while that is unknown.
void tell_pace(Json& progress, std::int64_t done, std::int64_t total, double per_second) {
  constexpr double kLongest = 86400.0 * 3650;
  progress["percent"] = done * 100 / total;
  progress.erase("timeLeft");
  const double left = static_cast<double>(total - done) / per_second;
  if (done < total && per_second > 0 && left < kLongest)
    progress["timeLeft"] = duration_words(std::llround(left));
}

// The known curve up to where the new one begins (a restarted pod tells only what it saw), then the new one.
Json joined(const Json& known, const std::vector<Point>& fresh) {
  Json joined = Json::array();
  if (known.is_array()) {
    for (const Json& point : known)
      if (fresh.empty() || integer_at(point, "at") < fresh.front().at()) joined.push_back(point);
  }
  for (const Point& point : fresh) joined.push_back(figures(point, 6));
  while (joined.size() > std::size_t{kStatusHistoryMax}) {  // every second point goes, the last one stays
    Json thinner = Json::array();
    for (std::size_t i = (joined.size() - 1) % 2; i < joined.size(); i += 2)
      thinner.push_back(std::move(joined[i]));
    joined = std::move(thinner);
  }
  return joined;
}

void fold_history(Pass& pass, std::vector<Point> fresh, const std::optional<Point>& last) {
  if (last && (fresh.empty() || fresh.back().at() < last->at())) {
    const Json& known = pass.after.history;
    const bool is_new = !known.is_array() || known.empty() || integer_at(known.back(), "at") < last->at();
    if (!fresh.empty() || is_new) fresh.push_back(*last);
  }
  if (!fresh.empty()) pass.after.history = joined(pass.after.history, fresh);
}

// The balances that are known of epochs before the told ones, and these. A training that began anew tells of
// its first epoch again, and what was known of the one before goes.
void fold_ledger(Pass& pass, const WorkerProgress& told) {
  Json ledger = Json::array();
  const Json& known = member(pass.before.progress, "ledger");
  const bool anew = told.step() < integer(member(pass.before.progress, "step"));
  if (known.is_array() && !(anew && told.ledger().empty())) {
    for (const Json& epoch : known)
      if (told.ledger().empty() || integer_at(epoch, "epoch") < told.ledger(0).epoch())
        ledger.push_back(epoch);
  }
  for (const EpochBalance& epoch : told.ledger()) ledger.push_back(figures(epoch));
  if (ledger.size() > std::size_t{kStatusLedgerMax})
    ledger.erase(ledger.begin(), ledger.end() - kStatusLedgerMax);
  if (!ledger.empty()) pass.after.progress["ledger"] = std::move(ledger);
}

// Each stays in status.progress.warnings, and is an event once: what is in the status already has been one.
void fold_warnings(Pass& pass, const std::vector<std::string>& told,
                   const char* reason = "TrainingDoubtful") {
  const Json& folded = member(pass.after.progress, "warnings");
  const Json& known = folded.is_array() ? folded : member(pass.before.progress, "warnings");
  Json warnings = known.is_array() ? known : Json::array();
  for (const std::string& warning : told) {
    if (warnings.size() >= std::size_t{kStatusWarningsMax}) break;
    if (std::find(warnings.begin(), warnings.end(), warning) != warnings.end()) continue;
    pass.event("Warning", reason, warning);
    warnings.push_back(warning);
  }
  if (!warnings.empty()) pass.after.progress["warnings"] = std::move(warnings);
}

// Since the start or the last resumption; 0 while no round has been committed.
double rounds_a_second(const Pass& pass, std::int64_t rounds) {
  if (!pass.after.start_time || pass.seen.now <= *pass.after.start_time) return 0;
  return static_cast<double>(rounds) /
         std::chrono::duration<double>(pass.seen.now - *pass.after.start_time).count();
}

// An estimate that only time has changed is no news: it stands until the next round is committed, so that a
// pass over the same state writes nothing.
void keep_estimate(Pass& pass) {
  const Json& before = pass.before.progress;
  if (!before.is_object() || member(before, "round") != member(pass.after.progress, "round") ||
      member(before, "rounds") != member(pass.after.progress, "rounds"))
    return;
  pass.after.progress.erase("timeLeft");
  if (const Json& left = member(before, "timeLeft"); left.is_string()) pass.after.progress["timeLeft"] = left;
}

// The first words of another rank 0 may be of a step earlier than the last of the one before. With a
// checkpoint, or from the start, steps are made again.
bool would_go_back(const Pass& pass, const WorkerProgress& told) {
  const Json& known = pass.before.progress;
  if (pass.before.holders == 0 || told.step() >= integer(member(known, "step"))) return false;
  return !told.has_resumed_from_step() ||
         told.resumed_from_step() == integer(member(known, "resumedFromStep"));
}

double number_at(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_number() ? value.get<double>() : 0;
}

// The share of the time since the start, or the last resumption, that the steps of the model took. What was
// trained before that (a checkpoint, a suspension) is left out: it is seen by that it does not fit into the
// time. Time that brought no step is no news by itself.
void tell_goodput(Pass& pass) {
  Json& progress = pass.after.progress;
  const Json& before = pass.before.progress;
  const double trained = number_at(progress, "trainedSeconds");
  const bool news = !before.is_object() || trained != number_at(before, "trainedSeconds");
  for (const char* name : {"trainedSecondsBefore", "goodput"})
    if (const Json& told = member(before, name); !told.is_null()) progress[name] = told;
  if (!news || trained <= 0 || !pass.after.start_time || pass.seen.now <= *pass.after.start_time) return;
  const double all = std::chrono::duration<double>(pass.seen.now - *pass.after.start_time).count();
  double earlier = number_at(before, "trainedSecondsBefore");
  if (trained - earlier > all) {
    earlier = trained - all;
    progress["trainedSecondsBefore"] = rounded(earlier, 6);
  }
  progress["goodput"] = rounded(std::clamp((trained - earlier) / all, 0.0, 1.0), 3);
}

// What to tell of a worker that holds up the others; nothing where none does, or it is not known which.
std::optional<std::string> slow_worker(const Pass& pass, const WorkerProgress& told,
                                       const std::vector<const Pod*>& members) {
  constexpr double kSlow = 2;
  const auto rank = static_cast<std::size_t>(told.slowest_rank());
  if (!told.has_slowest_rank() || !(told.slowdown() >= kSlow) || rank >= pass.before.roster.size())
    return std::nullopt;
  const auto slow = std::ranges::find(members, pass.before.roster[rank].uid, &Pod::uid);
  if (slow == members.end()) return std::nullopt;
  return fmt::format(
      "{} (rank {}) took more than twice as long for its gradients as the median worker, and the others "
      "waited for "
      "it; look at its CPU limits and its node{}",
      (*slow)->name, rank, (*slow)->node.empty() ? "" : " " + (*slow)->node);
}

template <typename Progress>
std::vector<Point> history_of(const Progress& told) {
  return {told.history().begin(), told.history().end()};
}

Point point(std::int64_t at, double loss, const std::optional<double>& accuracy) {
  Point point;
  point.set_at(at);
  point.set_loss(loss);
  if (accuracy) point.set_accuracy(*accuracy);
  return point;
}

template <typename Progress>
std::optional<double> accuracy_of(const Progress& told) {
  return told.has_accuracy() ? std::optional(told.accuracy()) : std::nullopt;
}

}  // namespace

double rounded(double value, int digits) {
  return std::strtod(fmt::format("{:.{}g}", value, digits).c_str(), nullptr);
}

std::string duration_words(std::int64_t seconds) {
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h{}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{}h", seconds / 86400, seconds / 3600 % 24);
}

std::optional<AgentStatus> last_words_of(const std::string& text) {
  AgentStatus status;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(text, &status, options).ok()) return std::nullopt;
  if (status.phase() == control::v1::PHASE_UNSPECIFIED) return std::nullopt;
  return checked(std::move(status));
}

namespace {

// What last words had no room for, of what was told before them.
void take_lists(WorkerProgress& told, WorkerProgress& last) {
  last.mutable_history()->Swap(told.mutable_history());
  if (last.ledger().empty()) return last.mutable_ledger()->Swap(told.mutable_ledger());
  const EpochBalance newest = last.ledger(last.ledger_size() - 1);
  last.mutable_ledger()->Swap(told.mutable_ledger());
  auto& ledger = *last.mutable_ledger();
  if (ledger.empty() || ledger.rbegin()->epoch() < newest.epoch()) *ledger.Add() = newest;
}

}  // namespace

std::optional<AgentStatus> agent_status_of(const Pass& pass, const Pod& pod) {
  std::optional<AgentStatus> word;
  const auto told = pass.seen.agents.find(pod.uid);
  if (told != pass.seen.agents.end() && told->second.membership() == pass.before.membership)
    word = told->second;
  if (pod.phase != PodPhase::kSucceeded || !pod.end) return word;
  std::optional<AgentStatus> last = last_words_of(pod.end->message);
  if (!last) return word;
  if (word && word->warnings_size() > last->warnings_size())  // last words hold only what fits
    last->mutable_warnings()->Swap(word->mutable_warnings());
  if (word && last->has_worker()) take_lists(*word->mutable_worker(), *last->mutable_worker());
  if (word && last->has_aggregator())
    last->mutable_aggregator()->mutable_history()->Swap(word->mutable_aggregator()->mutable_history());
  return last;
}

std::optional<std::string> success_without_evidence(const Pass& pass, const std::vector<const Pod*>& pods,
                                                    const std::string& remedy) {
  for (const Pod* pod : pods) {
    if (fate_of(*pod) != PodFate::kSucceeded) continue;
    if (pod->role == "worker" && is_done(pass.before, pod->index)) continue;
    const std::optional<AgentStatus> word = agent_status_of(pass, *pod);
    if (word && word->phase() == control::v1::PHASE_SUCCEEDED) continue;
    return with_last_words(fmt::format("{} {} ({}) exited with code 0, but no training has ended in it: {}",
                                       pod->role, pod->index, pod->name, remedy),
                           pod->end && !word ? pod->end->message : "");
  }
  return std::nullopt;
}

void fold_workers(Pass& pass, const std::vector<const Pod*>& members, const Pod* rank_0,
                  std::int64_t examples_a_step) {
  std::optional<AgentStatus> lead;
  std::uint64_t sent = 0;
  std::uint64_t expected = 0;
  std::uint64_t at_work = 0;
  std::size_t digests = 0;
  std::map<std::string, std::size_t> states;  // digests, and how many tell them
  std::vector<std::string> warnings;
  for (const Pod* pod : members) {
    std::optional<AgentStatus> word = agent_status_of(pass, *pod);
    if (word) warnings.insert(warnings.end(), word->warnings().begin(), word->warnings().end());
    if (word && word->phase() == control::v1::PHASE_SUCCEEDED) {
      sent += word->worker().payload_bytes_sent();
      expected += word->worker().payload_bytes_expected();
    } else {
      ++at_work;
    }
    if (!word || !word->has_worker()) continue;
    if (word->worker().has_parameters_sha256()) ++digests;
    if (word->worker().has_state_sha256()) ++states[word->worker().state_sha256()];
    if (pod == rank_0) lead = std::move(word);
  }
  if (!lead || lead->worker().total_steps() == 0 || would_go_back(pass, lead->worker()))
    return fold_warnings(pass, warnings);
  WorkerProgress* const first = lead->mutable_worker();
  // Nobody listens to the others while they work. A ring's ranks send the same but for a few bytes, and what
  // each has sent in the end is in its last words.
  first->set_payload_bytes_sent(sent + at_work * first->payload_bytes_sent());
  first->set_payload_bytes_expected(expected + at_work * first->payload_bytes_expected());
  if (digests != members.size() || parameters_diverged(pass, members)) first->clear_parameters_sha256();
  pass.after.progress = figures(*first);
  pass.after.progress.erase("rank");  // the job has none
  // Of collectives that a program asks for there is no gradient, and no loss that is known.
  if (first->gradient_bytes() == 0) pass.after.progress.erase("loss");
  pass.after.progress.erase("stateSha256");
  fold_ledger(pass, *first);
  if (states.size() == 1 && states.begin()->second == members.size())
    pass.after.state_digest = states.begin()->first;
  tell_goodput(pass);
  tell_pace(pass.after.progress, first->step(), first->total_steps(),
            first->examples_per_second() / static_cast<double>(std::max<std::int64_t>(examples_a_step, 1)));
  fold_warnings(pass, warnings);
  if (const auto slow = slow_worker(pass, *first, members)) fold_warnings(pass, {*slow}, "SlowWorker");
  std::optional<Point> last;
  if (first->has_test_loss() && first->step() == first->total_steps())
    last = point(first->step(), first->test_loss(), accuracy_of(*first));
  fold_history(pass, history_of(*first), last);
}

// An aggregator that tells none has not come to one yet, as after a restart: what is known stays.
template <typename List>
void tell_list(Pass& pass, const char* name, const List& told) {
  Json list = Json::array();
  for (const auto& entry : told) list.push_back(figures(entry, 6));
  if (list.empty()) list = member(pass.before.progress, name);
  if (list.is_array() && !list.empty()) pass.after.progress[name] = std::move(list);
}

void fold_aggregator(Pass& pass, const Pod& aggregator) {
  const std::optional<AgentStatus> word = agent_status_of(pass, aggregator);
  if (!word) return;
  const std::vector<std::string> warnings{word->warnings().begin(), word->warnings().end()};
  const AggregatorProgress& told = word->aggregator();
  if (told.rounds() == 0 && !told.endless()) return fold_warnings(pass, warnings);
  pass.after.progress = figures(told);
  tell_list(pass, "contributionsTop", told.contributions_top());
  tell_list(pass, "contributionsBottom", told.contributions_bottom());
  tell_list(pass, "devices", told.devices());
  if (!told.endless()) {
    tell_pace(pass.after.progress, told.round(), told.rounds(), rounds_a_second(pass, told.round()));
    keep_estimate(pass);
  }
  fold_warnings(pass, warnings);
  std::optional<Point> last;
  if (told.has_loss() && told.round() > 0) last = point(told.round(), told.loss(), accuracy_of(told));
  fold_history(pass, history_of(told), last);
}

std::optional<std::string> parameters_diverged(const Pass& pass, const std::vector<const Pod*>& workers) {
  const Pod* told_by = nullptr;
  std::string digest;
  for (const Pod* pod : workers) {
    const std::optional<AgentStatus> word = agent_status_of(pass, *pod);
    if (!word || !word->worker().has_parameters_sha256()) continue;
    if (told_by == nullptr) {
      told_by = pod;
      digest = word->worker().parameters_sha256();
    } else if (word->worker().parameters_sha256() != digest) {
      return fmt::format(
          "{} and {} ended with different parameters ({:.12} and {:.12}); synchronous workers must agree",
          told_by->name, pod->name, digest, word->worker().parameters_sha256());
    }
  }
  return std::nullopt;
}

}  // namespace muster::op
