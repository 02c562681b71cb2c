// pod/pod_life.cc: the life of a Muster container around its work
#include "pod/pod_life.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <optional>

#include "common/base/host_port.h"
#include "common/platform/core_file.h"
#include "common/platform/log.h"
#include "common/platform/metric_families.h"
#include "common/platform/metrics.h"
#include "common/platform/mutex.h"
#include "common/platform/volume_map.h"
#include "pod/pod_contract.h"
#include "pod/refusal_counter.h"

namespace muster {
namespace {

using control::v1::AgentStatus;
using control::v1::Assignment;
using std::chrono::milliseconds;

// For the assignment of another membership: that of whoever lost a peer waits for another pod to start.
constexpr milliseconds kLeftBehindTime{600'000};

class Life {
 public:
  Life(const PodProgram& program, ReadJob<std::any> read, Work<std::any> work, const PodEnvironment& pod,
       SignalWaiter& signals)
      : program_(program),
        read_(std::move(read)),
        work_(std::move(work)),
        pod_(pod),
        refusals_(counter_family(*program.registry, "muster_control_calls_refused_total")),
        stopper_(signals) {}

  int run() {
    Ending ending = live();
    stopper_.set_abort({});
    if (ending.exit_code != 0 && stopper_.requested()) ending.exit_code = kExitStopped;
    const bool done = ending.exit_code == 0;
    status_.set_phase(done ? control::v1::PHASE_SUCCEEDED : control::v1::PHASE_FAILED);
    status_.set_message(ending.message);
    if (!done) {
      spdlog::error("{} exit_code={}", ending.message, ending.exit_code);
    } else if (!ending.message.empty()) {
      spdlog::info("{}", ending.message);
    }
    write_termination_message(pod_, done ? last_words_of(status_) : ending.message);
    if (agent_ != nullptr && ending.exit_code != kExitStopped) agent_->publish(status_);
    if (program_.linger) {
      const auto publish = [this] {
        if (agent_ != nullptr) agent_->publish(status_);
      };
      program_.linger(ending, {.status = status_, .publish = publish, .stopper = stopper_});
    }
    if (agent_ != nullptr) agent_->stop();
    return ending.exit_code;
  }

 private:
  Ending live() {
    const auto credentials =
        Credentials::load(resolve_mount(kCredentialsFolder), std::chrono::system_clock::now());
    if (!credentials) return credentials_ending_of(credentials.error());
    if (const Status named = credentials->check_name(pod_.role, pod_.index, pod_.job_uid); !named)
      return credentials_ending_of(named.error());
    // A port in use or an address that is not there yet: another try may fare better.
    if (const Status up = serve(*credentials); !up) return {kExitRetry, up.error().message};
    spdlog::info("waiting for the operator's assignment pod={} address={}", pod_.name,
                 host_port(pod_.ip, agent_->port()));
    PodFrame frame{
        .pod = pod_, .credentials = *credentials, .agent = *agent_, .stopper = stopper_, .status = status_};
    std::optional<Ending> ending;  // of the membership before
    for (std::int64_t membership = 0;;) {
      const auto assignment = next_assignment(membership, ending.has_value());
      if (!assignment) return ending ? *ending : ending_of(assignment.error());
      assigned_ = true;
      membership = assignment->membership();
      status_.Clear();
      status_.set_membership(membership);
      stopper_.working_for(membership);
      ending = work_(frame, *assignment, take_job(membership));
      stopper_.working_for(std::nullopt);
      status_.set_membership(membership);
      // Work that was broken off for the next assignment has not ended the pod.
      const bool next = ending->left_behind || agent_->membership() > membership;
      if (ending->exit_code == 0 || stopper_.requested() || !next) return *ending;
      spdlog::info("membership {} is over: {}", membership, ending->message);
      if (agent_->membership() == membership) frame.publish(control::v1::PHASE_WAITING, ending->message);
    }
  }

  // On a thread of the server: what was read is kept for the work.
  Status accept(const control::v1::Assignment& assignment) {
    MUSTER_ASSIGN(std::any job, read_(assignment));
    const MutexLock lock(jobs_mutex_);
    jobs_.insert_or_assign(assignment.membership(), std::move(job));
    return {};
  }

  std::any take_job(std::int64_t membership) {
    const MutexLock lock(jobs_mutex_);
    std::any job = std::move(jobs_.at(membership));
    jobs_.erase(jobs_.begin(), jobs_.upper_bound(membership));
    return job;
  }

  Result<Assignment> next_assignment(std::int64_t after, bool left_behind) {
    const milliseconds limit =
        left_behind ? std::min(kLeftBehindTime, program_.configure_timeout) : program_.configure_timeout;
    stopper_.set_abort([this](bool /*hard*/) { agent_->cancel(); });
    auto assignment = agent_->wait_for_assignment(after, deadline_after(limit));
    stopper_.set_abort({});
    return assignment;
  }

  Status serve(const Credentials& credentials) {
    const auto ready = [this]() -> Status {
      return assigned_ ? Status() : Status(unavailable("no assignment has come from the operator yet"));
    };
    MUSTER_ASSIGN(metrics_, MetricsServer::start(program_.registry,
                                                 {.ip = pod_.ip, .port = kMetricsPort, .ready = ready}));
    if (program_.prepare) {
      MUSTER_TRY(program_.prepare(pod_, stopper_));
    }
    MUSTER_ASSIGN(
        agent_,
        AgentServer::start(
            {.ip = pod_.ip,
             .port = kControlPort,
             .credentials = credentials,
             .job_uid = pod_.job_uid,
             .pod_uid = pod_.uid,
             .accept = [this](const control::v1::Assignment& assignment) { return accept(assignment); },
             .superseded = [this](std::int64_t membership) { stopper_.break_off_before(membership); },
             .refused = [this](std::string_view reason) { refusals_.count(reason); }}));
    return {};
  }

  const PodProgram& program_;
  const ReadJob<std::any> read_;
  const Work<std::any> work_;
  const PodEnvironment& pod_;
  Mutex jobs_mutex_;
  std::map<std::int64_t, std::any> jobs_
      MUSTER_GUARDED_BY(jobs_mutex_);  // by membership: those that the work has not taken
  std::atomic<bool> assigned_ = false;
  AgentStatus status_;
  RefusalCounter refusals_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<AgentServer> agent_;
  Stopper stopper_;  // last: its thread uses the others
};

}  // namespace

void PodFrame::publish(control::v1::Phase phase, std::string_view message) {
  status.set_phase(phase);
  status.set_message(std::string(message));
  publish();
}

int run_pod(const PodProgram& program, ReadJob<std::any> read, Work<std::any> work) {
  setenv("GRPC_VERBOSITY", "NONE", 0);  // what fails is said by our own errors
  forbid_core_file();                   // of the pod's keys, and of its data
  SignalWaiter signals;
  init_log(program.name);
  const auto pod = pod_environment();
  if (!pod) {
    spdlog::error("{}", pod.error().message);
    return kExitInvalid;
  }
  return Life(program, std::move(read), std::move(work), *pod, signals).run();
}

}  // namespace muster
