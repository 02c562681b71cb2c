// tests/sim/programs.cc: agents that wait, work and end
#include "programs.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/pods/standstill.h"
#include "objects.h"
#include "pod/pod_contract.h"

namespace muster::sim {
namespace {

using control::v1::AgentStatus;
using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kSteps = 3;
constexpr std::int64_t kServedSteps = 15;  // with parameter servers, so that some are lost in between
constexpr seconds kAssignmentPatience{600};
constexpr seconds kLeftBehindPatience{60};

std::int64_t steps_of(const std::optional<Assignment>& assignment) {
  return assignment && assignment->worker().servers() > 0 ? kServedSteps : kSteps;
}

std::string last_words(const AgentStatus& status) {
  std::string words;
  const auto done = google::protobuf::util::MessageToJsonString(status, &words);
  return done.ok() ? words : "";
}

}  // namespace

std::vector<std::string> Programs::running() const {
  std::vector<std::string> uids;
  for (const auto& [uid, program] : programs_)
    if (!program.leaving) uids.push_back(uid);
  return uids;
}

void Programs::begin(const Json& pod) {
  const Json& labels = member(pod, "metadata", "labels");
  Program program;
  program.uid = meta_text(pod, "uid");
  program.job = text(member(labels, kJobUidLabel));
  program.role = text(member(labels, kRoleLabel));
  program.index = std::stoll(text(member(labels, kIndexLabel), "0"));
  program.ours = labels.contains(kAuthorityLabel);
  program.status.set_phase(control::v1::PHASE_WAITING);
  program.status.set_pod_uid(program.uid);
  const std::string uid = program.uid;
  const bool waits = program.ours;
  programs_[uid] = std::move(program);
  if (on_status) on_status(uid);
  if (!waits) return work_later(uid);
  threads_.after(kAssignmentPatience, [this, uid] {
    const auto found = programs_.find(uid);
    if (found != programs_.end() && !found->second.assignment) exit(uid, kExitRetry, Nanos(0));
  });
}

void Programs::kill(const std::string& uid) {
  const auto found = programs_.find(uid);
  if (found == programs_.end()) return;
  const Program lost = std::move(found->second);
  programs_.erase(found);
  lose_peer(lost);
}

std::optional<AgentStatus> Programs::status(const std::string& uid) const {
  const auto found = programs_.find(uid);
  if (found == programs_.end()) return std::nullopt;
  return found->second.status;
}

Status Programs::configure(const std::string& uid, const Assignment& assignment) {
  const auto found = programs_.find(uid);
  if (found == programs_.end()) return unavailable("connection refused");
  Program& program = found->second;
  if (assignment.pod_uid() != uid) return Error{Code::kPermissionDenied, "this is another pod"};
  if (program.assignment && assignment.membership() == program.assignment->membership()) {
    if (google::protobuf::util::MessageDifferencer::Equals(assignment, *program.assignment)) return {};
    return failed_precondition("another content for the present membership");
  }
  if (program.assignment && assignment.membership() < program.assignment->membership())
    return failed_precondition("an older membership");
  faults_.seen("pod configured");
  if (program.assignment && assignment.has_worker()) faults_.seen("a worker goes on in another membership");
  if (on_configured) on_configured(program.job, assignment);
  program.broken = false;
  program.assignment = assignment;
  program.status.Clear();
  program.status.set_pod_uid(uid);
  program.status.set_membership(assignment.membership());
  set_phase(program, control::v1::PHASE_STARTING);
  for (const auto& [other, peer] : programs_)
    if (peer.job == program.job) work_later(other);
  return {};
}

void Programs::set_phase(Program& program, control::v1::Phase phase) {
  program.status.set_phase(phase);
  if (on_status) on_status(program.uid);
}

void Programs::hold(bool held) {
  held_ = held;
  if (held_) return;
  for (const std::string& uid : running()) work_later(uid);
}

void Programs::work_later(const std::string& uid) {
  threads_.after(milliseconds(100) + up_to(random_, seconds(8)), [this, uid] {
    const auto found = programs_.find(uid);
    if (found != programs_.end() && !found->second.leaving && !held_) work(found->second);
  });
}

// Those of its roster that are there and have the same assignment.
std::vector<Programs::Program*> Programs::members(const Program& program) {
  std::vector<Program*> members;
  for (const auto& member : program.assignment->worker().roster()) {
    const auto found = programs_.find(member.pod_uid());
    if (found == programs_.end() || !found->second.assignment || found->second.broken) continue;
    if (found->second.assignment->membership() == program.assignment->membership())
      members.push_back(&found->second);
  }
  return members;
}

// All that it works with are there and know of each other.
bool Programs::may_work(const Program& program) {
  if (!program.ours) return true;
  if (!program.assignment || program.broken) return false;
  if (program.role != "aggregator" && program.role != "client")
    return std::ssize(members(program)) == program.assignment->worker().roster_size();
  const std::int64_t membership = program.assignment->membership();
  std::int64_t with = 0;
  for (const auto& [uid, peer] : programs_)
    if (peer.job == program.job && peer.assignment && peer.assignment->membership() == membership) ++with;
  return with >= 2;  // the aggregator and a client
}

// Each server gets its part from the one that mirrors it, if it has begun anew, and then mirrors again.
void Programs::share_parts(const std::vector<Program*>& members, std::int64_t steps) {
  std::vector<Program*> servers;
  for (Program* member : members)
    if (member->role == "server") servers.push_back(member);  // in order of rank, and so of parts
  const std::size_t count = servers.size();
  for (std::size_t part = 0; part < count; ++part) {
    Program& holder = *servers[part];
    const Program& mirror = *servers[(part + 1) % count];
    if (holder.steps == steps) continue;
    faults_.seen("a server gets its part anew");
    const bool is_left = count > 1 && mirror.mirrored == steps;
    if (!is_left && on_violation)
      on_violation(
          fmt::format("the workers have made {} steps, and part {} of {} is lost", steps, part, count));
    holder.steps = steps;
  }
  for (std::size_t part = 0; part < count; ++part) servers[(part + 1) % count]->mirrored = steps;
}

// The leader makes the steps of all. Its state is what the others go on with.
void Programs::work(Program& program) {
  if (!program.ours) return exit(program.uid, 0, Nanos(0));
  const bool worker = program.role == "worker";
  const bool leads =
      worker ? program.assignment && program.assignment->worker().rank() == 0 : program.role == "aggregator";
  if (!leads || !may_work(program)) return;
  const std::int64_t next = program.steps + 1;
  if (worker) {
    const std::vector<Program*> all = members(program);
    share_parts(all, program.steps);
    for (Program* member : all) {
      if (member->steps > program.steps && on_violation)
        on_violation(fmt::format("rank 0 has made {} steps, another member {}: its state is lost",
                                 program.steps, member->steps));
      step(*member, next);
      if (member->role == "server") member->mirrored = next;
    }
  } else {
    for (auto& [uid, peer] : programs_)
      if (peer.job == program.job && peer.assignment &&
          peer.assignment->membership() == program.assignment->membership())
        step(peer, next);
  }
  if (next < steps_of(program.assignment)) work_later(program.uid);
}

void Programs::step(Program& program, std::int64_t step) {
  const std::int64_t all = steps_of(program.assignment);
  const bool last = step >= all;
  program.steps = step;
  if (program.role == "worker") {
    auto& worker = *program.status.mutable_worker();
    worker.set_rank(program.assignment->worker().rank());
    worker.set_step(step);
    worker.set_total_steps(all);
    worker.set_loss(1.0 / static_cast<double>(step));
    if (last) worker.set_parameters_sha256(std::string(64, 'a'));
  } else if (program.role == "aggregator") {
    program.status.mutable_aggregator()->set_round(step);
    program.status.mutable_aggregator()->set_rounds(all);
  }
  set_phase(program, last ? control::v1::PHASE_SUCCEEDED : control::v1::PHASE_RUNNING);
  if (last) exit(program.uid, 0, up_to(random_, milliseconds(500)));
}

void Programs::exit(const std::string& uid, int code, Nanos in) {
  const auto found = programs_.find(uid);
  if (found == programs_.end() || found->second.leaving) return;
  found->second.leaving = true;
  threads_.after(in, [this, uid, code] {
    const auto at = programs_.find(uid);
    if (at == programs_.end()) return;
    const Program program = std::move(at->second);
    programs_.erase(at);
    on_exit(uid, code, code == 0 && program.ours ? last_words(program.status) : "");
    if (code != 0) lose_peer(program);
  });
}

void Programs::crash(const std::string& uid, int code) { exit(uid, code, Nanos(0)); }

void Programs::lose_peer(const Program& lost) {
  if (!lost.ours || !lost.assignment || !lost.assignment->has_worker()) return;
  if (lost.status.phase() == control::v1::PHASE_SUCCEEDED) return;
  const auto& worker = lost.assignment->worker();
  const std::string words =
      rank_name(worker.rank(), worker.roster(worker.rank()).address()) + " closed the connection";
  for (Program* peer : members(lost)) {
    if (of_the_release_before_) {
      exit(peer->uid, kExitRetry, milliseconds(800) + up_to(random_, seconds(1)));
    } else {
      threads_.after(milliseconds(1) + up_to(random_, milliseconds(200)),
                     [this, uid = peer->uid, membership = lost.assignment->membership(), words] {
                       const auto found = programs_.find(uid);
                       if (found == programs_.end() || found->second.leaving ||
                           found->second.assignment->membership() != membership)
                         return;
                       break_off(found->second, words);
                     });
    }
  }
}

// It waits for its next assignment for as long as a worker does.
void Programs::break_off(Program& program, const std::string& message) {
  if (program.broken || program.status.phase() == control::v1::PHASE_SUCCEEDED) return;
  program.broken = true;
  program.status.set_message(message);
  set_phase(program, control::v1::PHASE_WAITING);
  threads_.after(kLeftBehindPatience,
                 [this, uid = program.uid, membership = program.assignment->membership()] {
                   const auto found = programs_.find(uid);
                   if (found != programs_.end() && found->second.assignment->membership() == membership)
                     exit(uid, kExitRetry, Nanos(0));
                 });
}

}  // namespace muster::sim
