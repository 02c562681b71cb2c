// local/tests/runtime/pod_machine_test.cc: the life of a pod, on paused time
#include "local/runtime/pod_machine.h"

#include <gtest/gtest.h>

#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Pod {  // a machine and its clock; remembers the effects that nobody has looked at
 public:
  explicit Pod(const Json& pod, bool ready = true) : json_(pod), machine_(pod, "127.9.9.9", "127.0.0.1") {
    take(machine_.begin(now()));
    if (!ready) return;
    effects_.clear();
    take(machine_.prepared(now()));
  }
  Pod& started(const std::string& name = "main") { return take(machine_.started(name, "id", now())); }
  Pod& exited(int code, const std::string& name = "main") {
    return take(machine_.exited(name, code, "", now()));
  }
  Pod& pass(milliseconds span) {
    now_ += span;
    return take(machine_.tick(now()));
  }
  Pod& remove(int grace) {
    json_["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
    json_["metadata"]["deletionGracePeriodSeconds"] = grace;
    return take(machine_.updated(json_, now()));
  }
  Pod& take(Effects effects) {
    for (Effect& effect : effects) effects_.push_back(std::move(effect));
    return *this;
  }
  // The effects since the last look, without events: "start main", "term main", "kill main", "finish".
  std::vector<std::string> actions() {
    std::vector<std::string> out;
    for (const Effect& effect : effects_) {
      if (const auto* start = std::get_if<StartContainer>(&effect)) out.push_back("start " + start->name);
      if (const auto* term = std::get_if<TerminateContainer>(&effect)) out.push_back("term " + term->name);
      if (const auto* kill = std::get_if<KillContainer>(&effect)) out.push_back("kill " + kill->name);
      if (std::holds_alternative<PrepareVolumes>(effect)) out.emplace_back("prepare");
      if (std::holds_alternative<FinishDeletion>(effect)) out.emplace_back("finish");
      if (const auto* event = std::get_if<RecordEvent>(&effect))
        events_.push_back(event->type + " " + event->reason);
    }
    effects_.clear();
    return out;
  }
  std::vector<std::string> events() {
    (void)actions();
    return std::move(events_);
  }
  [[nodiscard]] std::string phase() const { return machine_.status()["phase"]; }
  [[nodiscard]] Json container(std::size_t i = 0) const { return machine_.status()["containerStatuses"][i]; }
  [[nodiscard]] std::string condition(const std::string& type) const {
    const Json status = machine_.status();
    for (const Json& condition : status["conditions"]) {
      if (condition["type"] == type)
        return condition["status"].get<std::string>() + " " + condition.value("reason", "");
    }
    return "absent";
  }
  PodMachine& machine() { return machine_; }
  [[nodiscard]] Moment now() const { return {Instant() + now_, WallTime() + now_}; }

 private:
  Json json_;
  PodMachine machine_;
  milliseconds now_{1'000'000};
  Effects effects_;
  std::vector<std::string> events_;
};

using Actions = std::vector<std::string>;

TEST(PodMachine, GoesFromPendingToRunningToSucceeded) {
  Pod pod(PodBuilder("p").shell("true"), false);
  EXPECT_EQ(pod.actions(), Actions{"prepare"});
  EXPECT_EQ(pod.phase(), "Pending");
  EXPECT_EQ(pod.container()["state"]["waiting"]["reason"], "ContainerCreating");
  pod.take(pod.machine().prepared(pod.now()));
  EXPECT_EQ(pod.actions(), Actions{"start main"});
  pod.started();
  EXPECT_EQ(pod.phase(), "Running");
  EXPECT_EQ(pod.condition("Ready"), "True ");
  EXPECT_TRUE(pod.container()["ready"]);
  pod.exited(0);
  EXPECT_EQ(pod.phase(), "Succeeded");
  EXPECT_EQ(pod.condition("Ready"), "False PodCompleted");
  EXPECT_EQ(pod.condition("PodReadyToStartContainers"), "False ");
  EXPECT_EQ(pod.events(), (Actions{"Normal Pulled", "Normal Created", "Normal Started"}));
}

TEST(PodMachine, FailsWithNeverAndRestartsAtOnceWithOnFailure) {
  Pod never(PodBuilder("p").shell("false"));
  never.started().exited(7);
  EXPECT_EQ(never.phase(), "Failed");
  EXPECT_EQ(never.container()["state"]["terminated"]["exitCode"], 7);
  EXPECT_EQ(never.condition("ContainersReady"), "False PodFailed");

  Pod again(PodBuilder("p").shell("false").restart("OnFailure"));
  (void)again.started().actions();
  again.exited(7);
  EXPECT_EQ(again.actions(), Actions{"start main"});
  EXPECT_EQ(again.phase(), "Running");
  again.started();
  EXPECT_EQ(again.container()["restartCount"], 1);
  EXPECT_EQ(again.container()["lastState"]["terminated"]["exitCode"], 7);
  again.exited(0);
  EXPECT_EQ(again.phase(), "Succeeded");
}

TEST(PodMachine, BacksOffFromTenSecondsToFiveMinutes) {
  Pod pod(PodBuilder("p").shell("false").restart("Always"));
  pod.started().exited(1).started();
  (void)pod.actions();
  for (const int delay : {10, 20, 40, 80, 160, 300, 300}) {
    pod.exited(1);
    EXPECT_EQ(pod.container()["state"]["waiting"]["reason"], "CrashLoopBackOff");
    EXPECT_EQ(
        pod.container()["state"]["waiting"]["message"],
        "back-off " + go_duration(seconds(delay)) + " restarting failed container=main pod=p_test(uid-p)");
    EXPECT_EQ(pod.phase(), "Running");
    pod.pass(seconds(delay) - milliseconds(1));
    EXPECT_EQ(pod.actions(), Actions{}) << delay;
    pod.pass(milliseconds(1));
    EXPECT_EQ(pod.actions(), Actions{"start main"}) << delay;
    pod.started();
  }
  pod.pass(seconds(600)).exited(1);
  EXPECT_EQ(pod.actions(), Actions{"start main"}) << "ten minutes of running forget the back-off";
}

TEST(PodMachine, RunsInitContainersInOrder) {
  Pod pod(PodBuilder("p").init("one", "true").init("two", "true").shell("true"));
  EXPECT_EQ(pod.actions(), Actions{"start one"});
  EXPECT_EQ(pod.container()["state"]["waiting"]["reason"], "PodInitializing");
  EXPECT_EQ(pod.condition("Initialized"), "False ContainersNotInitialized");
  pod.started("one").exited(0, "one");
  EXPECT_EQ(pod.actions(), Actions{"start two"});
  pod.started("two").exited(0, "two");
  EXPECT_EQ(pod.actions(), Actions{"start main"});
  EXPECT_EQ(pod.condition("Initialized"), "True ");
}

TEST(PodMachine, FailsWhenAnInitContainerFailsForGood) {
  Pod pod(PodBuilder("p").init("one", "false").shell("true"));
  pod.started("one").exited(3, "one");
  EXPECT_EQ(pod.actions(), Actions{"start one"});
  EXPECT_EQ(pod.phase(), "Failed");
}

TEST(PodMachine, KeepsSidecarsUntilTheMainContainersEnd) {
  Pod pod(PodBuilder("p").init("proxy", "sleep", true).init("one", "true").shell("true"));
  EXPECT_EQ(pod.actions(), Actions{"start proxy"});
  pod.started("proxy");
  EXPECT_EQ(pod.actions(), Actions{"start one"});
  pod.started("one").exited(0, "one");
  EXPECT_EQ(pod.actions(), Actions{"start main"});
  pod.started().exited(0);
  EXPECT_EQ(pod.actions(), Actions{"term proxy"});
  EXPECT_EQ(pod.phase(), "Running");
  pod.exited(143, "proxy");
  EXPECT_EQ(pod.actions(), Actions{});
  EXPECT_EQ(pod.phase(), "Succeeded");
  EXPECT_EQ(pod.machine().next_deadline(), std::nullopt) << "a sidecar that was ended does not come again";
}

TEST(PodMachine, DeletesWithSigtermThenSigkill) {
  Pod pod(PodBuilder("p").shell("x").restart("Always"));
  (void)pod.started().actions();
  pod.remove(3);
  EXPECT_EQ(pod.actions(), Actions{"term main"});
  pod.pass(milliseconds(2'999));
  EXPECT_EQ(pod.actions(), Actions{});
  EXPECT_EQ(pod.machine().next_deadline(), pod.now().at + milliseconds(1));
  pod.pass(milliseconds(1));
  EXPECT_EQ(pod.actions(), Actions{"kill main"});
  pod.exited(137);
  EXPECT_EQ(pod.actions(), Actions{"finish"});
  EXPECT_EQ(pod.phase(), "Failed");
  EXPECT_EQ(pod.machine().next_deadline(), std::nullopt);
}

TEST(PodMachine, TakesTheShorterOfTwoGracePeriods) {
  Pod pod(PodBuilder("p").shell("x"));
  (void)pod.started().remove(60).actions();
  pod.remove(1).pass(seconds(1));
  EXPECT_EQ(pod.actions(), Actions{"kill main"});
}

TEST(PodMachine, DeletesAPodWhoseContainerIsJustStarting) {
  Pod pod(PodBuilder("p").shell("x"));
  (void)pod.remove(5).actions();
  pod.started();
  EXPECT_EQ(pod.actions(), Actions{"term main"});
  pod.exited(143);
  EXPECT_EQ(pod.actions(), Actions{"finish"});
}

TEST(PodMachine, StartsNothingOfAPodThatIsDeletedAlready) {
  Json deleted = PodBuilder("p").shell("x");
  deleted["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
  PodMachine machine(deleted, "127.1.2.3", "127.0.0.1");
  const Effects effects = machine.begin({});
  ASSERT_EQ(effects.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<FinishDeletion>(effects.front()));
}

TEST(PodMachine, EndsAtTheActiveDeadline) {
  Pod pod(PodBuilder("p").shell("x").set("activeDeadlineSeconds", 2));
  (void)pod.started().actions();
  pod.pass(seconds(2));
  EXPECT_EQ(pod.actions(), Actions{"term main"});
  EXPECT_EQ(pod.phase(), "Running") << "its process may take its time; only then has the pod ended";
  EXPECT_FALSE(pod.machine().status().contains("reason"));
  pod.exited(143);
  EXPECT_EQ(pod.phase(), "Failed");
  EXPECT_EQ(pod.machine().status()["reason"], "DeadlineExceeded");
  EXPECT_EQ(pod.machine().status()["message"],
            "Pod was active on the node longer than the specified deadline");
}

TEST(PodMachine, AsksAgainForWhatIsMissing) {
  Pod pod(PodBuilder("p").shell("x"));
  (void)pod.actions();
  pod.take(pod.machine().config_failed("main", "CreateContainerConfigError", "configmap \"later\" not found",
                                       pod.now()));
  EXPECT_EQ(pod.container()["state"]["waiting"]["reason"], "CreateContainerConfigError");
  EXPECT_EQ(pod.phase(), "Pending");
  pod.pass(PodMachine::kRetry);
  EXPECT_EQ(pod.actions(), Actions{"start main"});
}

TEST(PodMachine, AsksAgainForVolumes) {
  Pod pod(PodBuilder("p").shell("x"), false);
  (void)pod.actions();
  pod.take(pod.machine().prepare_failed("no volume", pod.now()));
  EXPECT_EQ(pod.actions(), Actions{});
  EXPECT_EQ(pod.container()["state"]["waiting"]["message"], "no volume");
  pod.pass(PodMachine::kRetry);
  EXPECT_EQ(pod.actions(), Actions{"prepare"});
}

TEST(PodMachine, StartErrorsAreRunsWithExitCode128) {
  Pod pod(PodBuilder("p").shell("x"));
  (void)pod.actions();
  pod.take(pod.machine().start_failed("main", "no such file", pod.now()));
  EXPECT_EQ(pod.phase(), "Failed");
  EXPECT_EQ(pod.container()["state"]["terminated"]["reason"], "StartError");
  EXPECT_EQ(pod.container()["state"]["terminated"]["exitCode"], 128);
  EXPECT_EQ(pod.events(), (Actions{"Normal Pulled", "Normal Created", "Warning Failed"}));
}

TEST(PodMachine, IgnoresEventsThatDoNotFit) {
  Pod pod(PodBuilder("p").shell("x"));
  pod.started().exited(0);
  const Json before = pod.machine().status();
  (void)pod.actions();
  pod.started().exited(1).started("nobody").exited(1, "nobody").pass(seconds(1000));
  EXPECT_EQ(pod.actions(), Actions{});
  EXPECT_EQ(pod.machine().status(), before);
}

TEST(PodMachine, ShutsDownWithoutRestarting) {
  Pod pod(PodBuilder("p").shell("x").restart("Always"));
  (void)pod.started().actions();
  pod.take(pod.machine().shut_down(seconds(2), pod.now()));
  EXPECT_EQ(pod.actions(), Actions{"term main"});
  pod.exited(143);
  EXPECT_EQ(pod.actions(), Actions{});
  EXPECT_TRUE(pod.machine().nothing_runs());
}

}  // namespace
}  // namespace muster::local
