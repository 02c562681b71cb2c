// tests/common/pod_state_test.cc: the container that carries the role decides how far a pod is
#include "common/pods/pod_state.h"

#include <gmock/gmock.h>

#include "common/json/field_path.h"

namespace muster {
namespace {

struct Case {
  const char* name;
  const char* containers;  // statuses, of: init container fetch, native sidecar mesh, worker, sidecar log
  const char* phase;       // status.phase
  PodPhase expected;
  const char* blamed;  // the container of `end`; nullptr: no end; "": the role's
  bool runs;
};

constexpr const char* kSpec = R"({
  "initContainers": [{"name": "fetch"}, {"name": "mesh", "restartPolicy": "Always"}],
  "containers": [{"name": "log"}, {"name": "worker"}]})";

std::string state_of(const std::string& word) {
  if (word == "running") return R"({"running": {}})";
  if (word == "waiting") return R"({"waiting": {"reason": "PodInitializing"}})";
  return R"({"terminated": {"exitCode": )" + word + R"(, "message": "said"}})";
}

// "fetch=0 mesh=running worker=0 log=running" as a pod.
Json pod(const Case& given) {
  Json json{{"spec", Json::parse(kSpec)}, {"status", {{"phase", given.phase}}}};
  std::string rest = given.containers;
  while (!rest.empty()) {
    const std::string word = rest.substr(0, rest.find(' '));
    rest.erase(0, std::min(rest.size(), word.size() + 1));
    const std::string name = word.substr(0, word.find('='));
    const bool init = name == "fetch" || name == "mesh";
    json["status"][init ? "initContainerStatuses" : "containerStatuses"].push_back(
        {{"name", name}, {"state", Json::parse(state_of(word.substr(word.find('=') + 1)))}});
  }
  return json;
}

class PodStateOf : public ::testing::TestWithParam<Case> {};

TEST_P(PodStateOf, IsThatOfTheRolesContainer) {
  const Json whole = pod(GetParam());
  Json kept = whole;
  kept["spec"] = spec_for_pod_state(whole["spec"]);
  for (const Json& known : {whole, kept}) {
    const PodState state = pod_state(known, "worker");
    EXPECT_EQ(state.phase, GetParam().expected);
    EXPECT_EQ(state.runs, GetParam().runs);
    ASSERT_EQ(state.end.has_value(), GetParam().blamed != nullptr);
    if (state.end) {
      EXPECT_EQ(state.end->container, GetParam().blamed);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(
    Pods, PodStateOf,
    ::testing::Values(
        Case{"done_beside_a_running_sidecar", "fetch=0 worker=0 log=running", "Running", PodPhase::kSucceeded,
             "", true},
        Case{"done_beside_a_running_native_sidecar", "fetch=0 mesh=running worker=0 log=0", "Running",
             PodPhase::kSucceeded, "", false},
        Case{"done_and_its_node_has_not_said_so_of_the_pod", "fetch=0 worker=0 log=0", "Running",
             PodPhase::kSucceeded, "", false},
        Case{"done_before_a_sidecar_failed", "worker=0 log=3", "Failed", PodPhase::kSucceeded, "", false},
        Case{"done_and_a_native_sidecar_was_killed", "mesh=137 worker=0 log=0", "Succeeded",
             PodPhase::kSucceeded, "", false},
        Case{"failed_beside_a_running_sidecar", "worker=65 log=running", "Running", PodPhase::kFailed, "",
             true},
        Case{"failed_beside_a_sidecar_that_is_done", "worker=1 log=0", "Failed", PodPhase::kFailed, "",
             false},
        Case{"failed_as_did_the_sidecar", "worker=1 log=3", "Failed", PodPhase::kFailed, "", false},
        Case{"runs_after_a_sidecar_failed", "worker=running log=3", "Running", PodPhase::kRunning, nullptr,
             true},
        Case{"runs_while_a_sidecar_waits_for_its_image", "worker=running log=waiting", "Pending",
             PodPhase::kRunning, nullptr, true},
        Case{"waits_while_a_sidecar_runs", "worker=waiting log=running", "Running", PodPhase::kPending,
             nullptr, true},
        Case{"an_init_container_failed", "fetch=7 worker=waiting log=waiting", "Failed", PodPhase::kFailed,
             "fetch", false},
        Case{"an_init_container_failed_and_the_mesh_still_runs", "fetch=7 mesh=running worker=waiting",
             "Pending", PodPhase::kFailed, "fetch", true},
        Case{"a_native_sidecar_is_started_again", "fetch=0 mesh=1 worker=waiting", "Pending",
             PodPhase::kPending, nullptr, true},
        Case{"only_the_phase_is_told", "", "Succeeded", PodPhase::kSucceeded, nullptr, false},
        Case{"the_role_never_began", "log=3", "Failed", PodPhase::kFailed, "log", false},
        Case{"nobody_knows", "worker=running", "Unknown", PodPhase::kUnknown, nullptr, true}),
    [](const auto& test) { return test.param.name; });

TEST(PodState, TheFirstContainerCarriesTheRoleWhenNoneIsNamedAfterIt) {
  const Json json = Json::parse(R"({"spec": {"containers": [{"name": "trainer"}, {"name": "proxy"}]},
    "status": {"phase": "Running", "containerStatuses": [
      {"name": "proxy", "state": {"running": {}}}, {"name": "trainer", "state": {"terminated": {"exitCode": 0}}}]}})");
  EXPECT_EQ(pod_state(json, "worker").phase, PodPhase::kSucceeded);
}

TEST(PodState, GarbageIsToleratedNotObeyed) {
  for (
      const char* text :
      {"null", "7", "[]", "{}", R"({"spec": [], "status": 3})", R"({"spec": {"containers": [7, null]}})",
       R"({"status": {"containerStatuses": [null, {"state": 7}, {"name": "worker", "state": {"terminated": []}}]}})"})
    EXPECT_EQ(pod_state(Json::parse(text), "worker").phase, PodPhase::kPending) << text;
}

TEST(PodState, ACacheKeepsOfTheSpecWhatDecides) {
  EXPECT_EQ(spec_for_pod_state(Json::parse(R"({"nodeName": "n", "volumes": [{"name": "v"}],
      "initContainers": [{"name": "mesh", "restartPolicy": "Always", "image": "i"}],
      "containers": [{"name": "worker", "env": [{"name": "A", "value": "b"}]}, 7]})")),
            Json::parse(R"({"initContainers": [{"name": "mesh", "restartPolicy": "Always", "image": "i"}],
      "containers": [{"name": "worker"}, {}]})"));
  EXPECT_EQ(spec_for_pod_state(Json(7)), Json::object());
}

TEST(LastWords, OneLineIsASentence) {
  EXPECT_EQ(with_last_words("it failed", "no data; mount it\n"), "it failed: no data; mount it");
  EXPECT_EQ(with_last_words("it failed", " \n"), "it failed");
}

TEST(LastWords, OfALogTheLastTwoLinesFollowAsLines) {
  const std::string stamp = "2030-01-01T00:00:00.000Z info worker: ";
  const std::string log =
      stamp + "assigned\n" + stamp + "data loaded\n" + stamp + "step=1/9\n" + stamp + "step=2/9\n";
  EXPECT_EQ(with_last_words("it exited with code 137 (SIGKILL)", log),
            "it exited with code 137 (SIGKILL)\nstep=1/9\nstep=2/9");
  EXPECT_EQ(with_last_words("x", stamp + "step=1/9"), "x\nstep=1/9");
  EXPECT_EQ(with_last_words("x", "Traceback:\n  File a\nValueError: b"), "x\nFile a\nValueError: b");
  EXPECT_LE(with_last_words("x", std::string(5000, 'a') + "\n" + std::string(5000, 'b')).size(), 410U);
}

TEST(LastWords, ANoteStandsBehindTheFirstLine) {
  EXPECT_EQ(with_note("a: b", "c"), "a: b; c");
  EXPECT_EQ(with_note("a\nb", "c"), "a; c\nb");
}

TEST(ExitWords, NameTheSignal) {
  EXPECT_EQ(exit_words({.exit_code = 1, .reason = "Error", .message = {}, .finished_at = {}}), "code 1");
  EXPECT_EQ(exit_words({.exit_code = 137, .reason = "Error", .message = {}, .finished_at = {}}),
            "code 137 (SIGKILL)");
  EXPECT_EQ(exit_words({.exit_code = 137, .reason = "OOMKilled", .message = {}, .finished_at = {}}),
            "code 137 (out of memory)");
  EXPECT_EQ(exit_words({.exit_code = 128, .reason = "StartError", .message = {}, .finished_at = {}}),
            "code 128 (StartError)");
}

TEST(FieldPath, APathOfAPodIsToldOfTheObject) {
  EXPECT_EQ(in_part("unknown field \"spec.containers[0].workdir\", unknown field \"metadata.lables\"",
                    "spec.workers.template"),
            "unknown field \"spec.workers.template.spec.containers[0].workdir\", unknown field "
            "\"spec.workers.template.metadata.lables\"");
  EXPECT_EQ(in_part("Pod \"x\" is invalid: spec.volumes[0].name: Required value", "a.b"),
            "Pod \"x\" is invalid: a.b.spec.volumes[0].name: Required value");
  EXPECT_EQ(in_part("a.spec.x and inspec.y are others", "p"), "a.spec.x and inspec.y are others");
}

TEST(PodState, TheRolesContainerIsTheOneThatThePodNames) {
  Json pod = Json::parse(R"({"metadata": {"annotations": {"muster.dev/container": "main"}},
      "spec": {"containers": [{"name": "proxy"}, {"name": "main"}]},
      "status": {"phase": "Running", "containerStatuses": [
          {"name": "proxy", "state": {"terminated": {"exitCode": 1}}}, {"name": "main", "state": {"running": {}}}]}})");
  EXPECT_EQ(role_container_name(pod, "worker"), "main");
  EXPECT_EQ(pod_state(pod, "worker").phase, PodPhase::kRunning);
  pod["metadata"]["annotations"]["muster.dev/container"] = "gone";
  EXPECT_EQ(role_container_name(pod, "worker"), "proxy") << "by its place, as for pods that name none";
  pod["metadata"].erase("annotations");
  pod["spec"]["containers"].push_back({{"name", "worker"}});
  EXPECT_EQ(role_container_name(pod, "worker"), "worker");
  EXPECT_EQ(role_container_name(Json(), "worker"), "worker");
}

}  // namespace
}  // namespace muster
