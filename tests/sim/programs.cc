// tests/sim/programs.cc: agents that wait, work and end
#include "programs.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include "objects.h"
#include "pod/pod_contract.h"

namespace muster::sim {
namespace {

using control::v1::AgentStatus;
using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kSteps = 3;
constexpr seconds kAssignmentPatience{600};

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
  end_peers(lost);
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

// All that it works with are there and know of each other.
bool Programs::may_work(const Program& program) const {
  if (!program.ours) return true;
  if (!program.assignment) return false;
  const std::int64_t membership = program.assignment->membership();
  std::int64_t with = 0;
  for (const auto& [uid, peer] : programs_)
    if (peer.job == program.job && peer.assignment && peer.assignment->membership() == membership) ++with;
  if (program.role == "worker") return with == program.assignment->worker().roster_size();
  return with >= 2;  // the aggregator and a client
}

// The leader makes the steps of all.
void Programs::work(Program& program) {
  if (!program.ours) return exit(program.uid, 0, Nanos(0));
  const bool leads = program.role == "aggregator" || (program.role == "worker" && program.index == 0);
  if (!leads || !may_work(program)) return;
  const std::int64_t next =
      (program.role == "worker" ? program.status.worker().step() : program.status.aggregator().round()) + 1;
  for (auto& [uid, peer] : programs_)
    if (peer.job == program.job && peer.assignment &&
        peer.assignment->membership() == program.assignment->membership())
      step(peer, next);
  if (next < kSteps) work_later(program.uid);
}

void Programs::step(Program& program, std::int64_t step) {
  const bool last = step >= kSteps;
  if (program.role == "worker") {
    auto& worker = *program.status.mutable_worker();
    worker.set_rank(static_cast<std::int32_t>(program.index));
    worker.set_step(step);
    worker.set_total_steps(kSteps);
    worker.set_loss(1.0 / static_cast<double>(step));
    if (last) worker.set_parameters_sha256(std::string(64, 'a'));
  } else if (program.role == "aggregator") {
    program.status.mutable_aggregator()->set_round(step);
    program.status.mutable_aggregator()->set_rounds(kSteps);
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
    if (code != 0) end_peers(program);
  });
}

void Programs::crash(const std::string& uid, int code) { exit(uid, code, Nanos(0)); }

void Programs::end_peers(const Program& lost) {
  if (!lost.ours || lost.role != "worker" || !lost.assignment) return;
  if (lost.status.phase() != control::v1::PHASE_RUNNING && lost.status.phase() != control::v1::PHASE_STARTING)
    return;
  for (const auto& [uid, peer] : programs_)
    if (peer.job == lost.job && peer.assignment &&
        peer.assignment->membership() == lost.assignment->membership())
      exit(uid, kExitRetry, milliseconds(800) + up_to(random_, seconds(1)));
}

}  // namespace muster::sim
