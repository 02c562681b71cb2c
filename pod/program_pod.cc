// pod/program_pod.cc: from the program's first word to the pod's last
#include "pod/program_pod.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <utility>

#include "common/platform/log.h"
#include "pod/pod_contract.h"

namespace muster {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectLook{20};
constexpr std::chrono::minutes kConnectHint{1};   // until somebody who looks on is told what is missing
constexpr std::chrono::minutes kConnectTime{30};  // a program may install and load much before it connects
constexpr const char* kWhatConnects =
    "does the command of the pod's first container call muster.init() (muster_open() in C), or in a "
    "FederatedRound muster.serve()?";
constexpr milliseconds kLook{100};  // for what a program tells after its training

Result<std::unique_ptr<program::ProgramLink>> listen_for_program(std::size_t riders) {
  const char* path = std::getenv(kSocketVariable);
  if (path == nullptr || *path == '\0') return std::unique_ptr<program::ProgramLink>();
  return program::ProgramLink::listen({.path = path,
                                       // As the kubelet would: a program is asked before its sidecars are.
                                       .stop_asked = [] { ::kill(::getpid(), SIGTERM); },
                                       .riders = riders});
}

}  // namespace

Status await_program(std::unique_ptr<program::ProgramLink>& link, std::size_t riders, Stopper& stopper) {
  MUSTER_ASSIGN(link, listen_for_program(riders));
  const Deadline due = deadline_after(kConnectTime);
  Deadline hint = deadline_after(kConnectHint);
  while (link != nullptr && !link->is_connected()) {
    if (stopper.wait(kConnectLook)) return aborted("asked to stop before the program has connected");
    const Deadline now = std::chrono::steady_clock::now();
    if (now >= due)
      return deadline_exceeded(
          fmt::format("no program has connected in {} minutes: {}", kConnectTime.count(), kWhatConnects));
    if (now < hint) continue;
    spdlog::warn("waiting for the program of this pod to connect: {}", kWhatConnects);
    hint = now + kConnectHint;
  }
  return {};
}

Status require_program(const program::ProgramLink* link) {
  if (link != nullptr) return {};
  return invalid_argument(fmt::format(
      "spec.training.program: {} is not set, so no program can reach this pod; is the operator of "
      "its release?",
      kSocketVariable));
}

void linger_with_program(std::unique_ptr<program::ProgramLink>& link, const Ending& ending,
                         const PodProgram::Afterwards& after, const std::function<void(double)>& accuracy) {
  if (link == nullptr) {  // the pod failed before it listened
    auto late = listen_for_program(0);
    if (!late || *late == nullptr) return;
    link = *std::move(late);
  }
  const bool done = ending.exit_code == 0;
  std::int64_t heard = -1;
  do {  // until the pod's end, which its containers and the operator decide
    const std::int64_t reports = link->reports();
    if (!link->is_connected() || reports == std::exchange(heard, reports)) continue;
    if (const auto told = link->told_accuracy(); told && done && accuracy) {
      accuracy(*told);
      after.publish();
    }
    link->end(ending.exit_code, done ? last_words_of(after.status) : ending.message, kLook);
  } while (!after.stopper.wait(kLook));
}

}  // namespace muster
