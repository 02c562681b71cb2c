// worker/shell/status.cc: Progress -> AgentStatus
#include "worker/shell/status.h"

#include "learning/sha256.h"

#include <fmt/format.h>

namespace muster::worker {
namespace {

void add_ledger(control::v1::AgentStatus& status, const learning::Ledger& ledger) {
  for (const learning::EpochBalance& balance : ledger.balances()) {
    auto& added = *status.mutable_worker()->add_ledger();
    added.set_epoch(balance.epoch);
    added.set_expected(balance.expected);
    added.set_counted(balance.counted);
    added.set_twice(balance.twice);
    added.set_missed(balance.missed);
    added.set_digest(fmt::format("{:016x}", balance.digest));
  }
}

}  // namespace

control::v1::AgentStatus to_status(const Progress& progress, int rank) {
  control::v1::AgentStatus status;
  status.set_phase(control::v1::PHASE_RUNNING);
  auto& worker = *status.mutable_worker();
  worker.set_rank(rank);
  worker.set_step(progress.step);
  worker.set_total_steps(progress.total_steps);
  worker.set_epoch(progress.epoch);
  worker.set_loss(progress.loss);
  if (progress.test) {
    worker.set_test_loss(progress.test->loss);
    worker.set_accuracy(progress.test->accuracy);
  }
  worker.set_examples_per_second(progress.examples_per_second);
  worker.set_payload_bytes_sent(progress.payload_bytes_sent);
  worker.set_payload_bytes_expected(progress.payload_bytes_expected);
  worker.set_gradient_bytes(progress.gradient_bytes);
  if (progress.resumed_from_step > 0) worker.set_resumed_from_step(progress.resumed_from_step);
  if (!progress.topology.empty()) worker.set_topology(std::string(progress.topology));
  worker.set_trained_seconds(progress.trained_seconds);
  if (progress.slowest) {
    worker.set_slowest_rank(progress.slowest->rank);
    worker.set_slowdown(progress.slowest->slowdown);
  }
  worker.set_checkpoints_skipped(progress.checkpoints_skipped);
  worker.set_gradients_not_finite(progress.not_finite);
  return status;
}

std::string warning_of(const NotFinite& first) {
  return fmt::format(
      "{} elements of rank {}'s gradient {} were no finite numbers (NaN or infinite), and went into the "
      "sum as they are: the training diverged, or the examples of that rank hold such values; lower the "
      "learning rate or check the dataset",
      first.elements, first.rank, steps_of(first));
}

control::v1::AgentStatus to_status(const GroupProgress& progress, int rank) {
  control::v1::AgentStatus status;
  status.set_phase(control::v1::PHASE_RUNNING);
  control::v1::WorkerProgress& worker = *status.mutable_worker();
  worker.set_rank(rank);
  worker.set_step(progress.calls);
  worker.set_payload_bytes_sent(progress.sent.payload);
  worker.set_payload_bytes_expected(progress.payload_bytes_expected);
  if (!progress.topology.empty()) worker.set_topology(std::string(progress.topology));
  return status;
}

std::string line_of(const Progress& progress, bool evaluated) {
  return fmt::format("step={}/{} epoch={:.2f} loss={:.4f}{} examples_per_second={:.0f}", progress.step,
                     progress.total_steps, progress.epoch, progress.loss,
                     evaluated ? fmt::format(" test_loss={:.4f} accuracy={:.4f}", progress.test->loss,
                                             progress.test->accuracy)
                               : "",
                     progress.examples_per_second);
}

void tell_digests(control::v1::AgentStatus& status, const learning::TrainingState& state, bool whole) {
  auto& worker = *status.mutable_worker();
  worker.set_parameters_sha256(learning::sha256_hex(std::as_bytes(std::span(state.parameters))));
  if (whole) worker.set_state_sha256(learning::digest_of(state));
}

void add_lists(control::v1::AgentStatus& status, const Progress& progress,
               const std::vector<learning::HistoryPoint>& points) {
  if (progress.ledger) add_ledger(status, *progress.ledger);
  for (const learning::HistoryPoint& point : points) {
    auto& added = *status.mutable_worker()->add_history();
    added.set_at(point.at);
    added.set_loss(point.loss);
    if (point.accuracy) added.set_accuracy(*point.accuracy);
  }
}

}  // namespace muster::worker
