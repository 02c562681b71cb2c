// tests/operator/core/progress_report_test.cc: who may tell a program's progress, what is taken of it, and
// what becomes of it
#include "operator/core/progress_report.h"

#include <gmock/gmock.h>

#include "cluster_model.h"
#include "common/json/access.h"
#include "common/json/read_json.h"
#include "operator/core/pod_plan.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

const ReportTarget kTarget{.ns = "team", .name = "bert", .uid = "uid-1", .incarnation = 2};
constexpr const char* kTime = R"("lastUpdatedTime": "2026-03-01T12:00:00.123456+00:00")";

std::string body(const std::string& fields) {
  return std::string(R"({"trainerStatus": {)") + kTime + (fields.empty() ? "" : ", " + fields) + "}}";
}
Json object(std::int64_t incarnation = 2, const std::string& uid = "uid-1") {
  return {{"metadata", {{"uid", uid}}}, {"status", {{"incarnation", incarnation}}}};
}
std::string message_of(const ReportAnswer& answer) { return text_at(read_json(answer.body), "message"); }
ReportAnswer take(const std::string& text, const Json& job = object()) {
  std::optional<ProgressReport> report;
  ReportAnswer answer = take_report(kTarget, text, job, report);
  EXPECT_EQ(report.has_value(), answer.code == 200 && text.find("trainerStatus\": {") != std::string::npos);
  return answer;
}

TEST(ReportPath, IsReadAsItIsWritten) {
  EXPECT_EQ(parse_report_path(report_path(kTarget)), kTarget);
  const std::string good = report_path(kTarget);
  for (const std::string& bad :
       {std::string(), std::string("/"), good + "/", good + "x", good + "?a=1", "x" + good,
        good.substr(0, good.size() - 1), good.substr(0, good.rfind('/')) + "/0",
        good.substr(0, good.rfind('/')) + "/-1", good.substr(0, good.rfind('/')) + "/99999999999999999999",
        std::string("/apis/muster.dev/v1alpha1/namespaces/a%2Fb/distributedjobs/x/progress/u/1"),
        std::string("/apis/muster.dev/v1alpha1/namespaces//distributedjobs/x/progress/u/1"),
        std::string("/apis/muster.dev/v1alpha1/namespaces/a/pods/x/progress/u/1")})
    EXPECT_FALSE(parse_report_path(bad)) << bad;
}

TEST(ReportSender, IsJudgedByHisTokenBeforeAnythingElse) {
  const auto proves = [](const std::string& uid, std::string_view token) {
    return uid == "uid-1" && token == "secret";
  };
  const std::string path = report_path(kTarget);
  EXPECT_EQ(check_sender("POST", path, "Bearer secret", proves).target, kTarget);
  for (const char* authorization : {"", "secret", "Bearer", "Bearer ", "Bearer secrets", "Basic secret"}) {
    const Sender sender = check_sender("POST", path, authorization, proves);
    EXPECT_FALSE(sender.target);
    EXPECT_EQ(sender.refused.code, 403) << authorization;
    EXPECT_EQ(sender.refused.refusal, "token");
  }
  const std::string other = report_path({.ns = "team", .name = "bert", .uid = "uid-2", .incarnation = 2});
  EXPECT_EQ(check_sender("POST", other, "Bearer secret", proves).refused.code, 403);
  EXPECT_EQ(check_sender("GET", path, "Bearer secret", proves).refused.code, 405);
  EXPECT_EQ(check_sender("POST", "/", "Bearer secret", proves).refused.code, 404);
}

TEST(ReportBody, WhatHuggingFaceSendsIsTaken) {
  std::optional<ProgressReport> report;
  const ReportAnswer answer =
      take_report(kTarget, body(R"("progressPercentage": 45, "estimatedRemainingSeconds": 795,
              "metrics": [{"name": "loss", "value": "0.5"}, {"name": "grad_norm", "value": "nan"}])"),
                  object(), report);
  EXPECT_EQ(answer.code, 200);
  EXPECT_EQ(member(read_json(answer.body), "trainerStatus", "progressPercentage"), 45);
  ASSERT_TRUE(report);
  EXPECT_EQ(*report, (ProgressReport{.incarnation = 2,
                                     .percent = 45,
                                     .seconds_left = 795,
                                     .metrics = {{"loss", "0.5"}, {"grad_norm", "nan"}}}));
}

TEST(ReportBody, ThatTellsNothingIsNoError) {
  for (const char* nothing : {"{}", R"({"trainerStatus": null})", R"({"other": 1})"}) {
    std::optional<ProgressReport> report;
    EXPECT_EQ(take_report(kTarget, nothing, object(), report).code, 200) << nothing;
    EXPECT_FALSE(report);
  }
  EXPECT_EQ(take(body("")).code, 200);
  EXPECT_EQ(take(body(R"("progressPercentage": null, "metrics": null, "future": {"x": 1})")).code, 200);
}

struct Wrong {
  const char* name;
  std::string body;
  const char* told;
};
class ReportRefused : public ::testing::TestWithParam<Wrong> {};
TEST_P(ReportRefused, NamesTheField) {
  const ReportAnswer answer = take(GetParam().body);
  EXPECT_EQ(answer.code, 422);
  EXPECT_EQ(answer.refusal, "invalid");
  EXPECT_THAT(message_of(answer), HasSubstr(GetParam().told));
}
std::string metrics(const std::string& list) { return body("\"metrics\": " + list); }
std::string many_metrics(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + std::string(R"({"name": "a", "value": "1"})");
  return metrics("[" + list + "]");
}
const Wrong kWrong[] = {
    {"Empty", "", "not JSON"},
    {"Garbage", "\x16\x03\x01", "not JSON"},
    {"NaN", body("\"progressPercentage\": NaN"), "not JSON"},
    {"More", body("") + "x", "not JSON"},
    {"List", "[]", "must be an object"},
    {"Status", R"({"trainerStatus": 5})", "trainerStatus: must be an object"},
    {"Negative", body("\"progressPercentage\": -1"),
     "trainerStatus.progressPercentage: must be a whole number"},
    {"TooMuch", body("\"progressPercentage\": 101"), "from 0 to 100"},
    {"Huge", body("\"progressPercentage\": 1e400"), "not JSON"},
    {"Unsigned", body("\"progressPercentage\": 18446744073709551615"), "from 0 to 100"},
    {"Fraction", body("\"progressPercentage\": 45.5"), "trainerStatus.progressPercentage"},
    {"Text", body("\"progressPercentage\": \"45\""), "trainerStatus.progressPercentage"},
    {"Long", body("\"estimatedRemainingSeconds\": 2147483648"), "estimatedRemainingSeconds"},
    {"NoTime", R"({"trainerStatus": {}})", "trainerStatus.lastUpdatedTime: required"},
    {"BadTime", R"({"trainerStatus": {"lastUpdatedTime": "yesterday"}})", "lastUpdatedTime: must be a time"},
    {"NoZone", R"({"trainerStatus": {"lastUpdatedTime": "2026-03-01T12:00:00"}})", "lastUpdatedTime"},
    {"NumberTime", R"({"trainerStatus": {"lastUpdatedTime": 5}})", "lastUpdatedTime"},
    {"Metrics", metrics("{}"), "trainerStatus.metrics: must be a list"},
    {"ManyMetrics", many_metrics(257), "has 257 entries"},
    {"Metric", metrics("[5]"), "trainerStatus.metrics[0]: must be an object"},
    {"NoName", metrics(R"([{"value": "1"}])"), "trainerStatus.metrics[0].name: required"},
    {"NumberValue", metrics(R"([{"name": "loss", "value": 0.5}])"), "metrics[0].value: must be a string"},
    {"EmptyValue", metrics(R"([{"name": "loss", "value": ""}])"), "metrics[0].value: must have 1 to 64"},
    {"LongName", metrics(R"([{"name": ")" + std::string(65, 'x') + R"(", "value": "1"}])"),
     "metrics[0].name"},
    {"Control", metrics(R"([{"name": "a", "value": "\u001b[31m"}])"),
     "metrics[0].value: has control characters"},
    {"Tab", metrics(R"([{"name": "a\tb", "value": "1"}])"), "metrics[0].name: has control characters"},
    {"C1", metrics(R"([{"name": "a\u009bb", "value": "1"}])"), "metrics[0].name: has control characters"},
    {"NotUtf8", metrics("[{\"name\": \"\xff\", \"value\": \"1\"}]"), "not JSON"},
    {"Deep", std::string(30000, '['), "not JSON"},
};
INSTANTIATE_TEST_SUITE_P(Kinds, ReportRefused, ::testing::ValuesIn(kWrong),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(ReportBody, OfTheLargestSizesIsTaken) {
  EXPECT_EQ(take(many_metrics(256)).code, 200);
  std::string name;
  for (int i = 0; i < 64; ++i) name += "\u00e9";  // characters count, not bytes
  EXPECT_EQ(take(metrics(R"([{"name": ")" + name + R"(", "value": "1"}])")).code, 200);
}

TEST(ReportObject, ThatIsGoneOrHasGoneOnIsTold) {
  EXPECT_EQ(take(body(""), nullptr).code, 404);
  EXPECT_EQ(take(body(""), object(2, "uid-2")).code, 404) << "made anew under the same name";
  const ReportAnswer older = take(body(""), object(3));
  EXPECT_EQ(older.code, 409);
  EXPECT_THAT(message_of(older), HasSubstr("in incarnation 3"));
  EXPECT_EQ(take(body(""), object(1)).code, 200) << "the cache is behind";
  Json ended = object();
  ended["status"]["conditions"] = {{{"type", "Succeeded"}, {"status", "True"}}};
  EXPECT_EQ(take(body(""), ended).code, 409);
  EXPECT_EQ(take("{", nullptr).code, 422) << "the body comes before the object, as in Kubeflow's server";
}

class ProgressOfAProgram : public ::testing::Test {
 protected:
  ProgressOfAProgram() {
    cluster_.defaults.progress_url = "https://here:8443";
    cluster_.bring_up();
  }
  void tell(std::int64_t percent, std::vector<std::pair<std::string, std::string>> metrics = {}) {
    cluster_.report = ProgressReport{.incarnation = cluster_.status().incarnation,
                                     .percent = percent,
                                     .seconds_left = 5400,
                                     .metrics = std::move(metrics)};
    cluster_.settle();
  }
  void pods_anew() {
    for (int i = 0; i < 5; ++i) {
      cluster_.advance(5s);
      cluster_.pass();
      cluster_.finish_deletions();
    }
    cluster_.bring_up();
  }
  ClusterModel cluster_{
      job().plain().workers(2).max_restarts(5).set("/spec/runPolicy/progressDeadlineSeconds", 120).json()};
};

TEST_F(ProgressOfAProgram, IsShownInTheColumns) {
  tell(45, {{"loss", "0.51236"},
            {"current_step", "450"},
            {"total_steps", "1000"},
            {"current_epoch", "1.35"},
            {"eval_accuracy", "nan"},
            {"note", "warm"}});
  Json progress = cluster_.status().progress;
  EXPECT_EQ(progress["metrics"].size(), 6U);
  progress.erase("metrics");
  EXPECT_EQ(progress, (Json{{"percent", 45},
                            {"timeLeft", "1h30m"},
                            {"loss", 0.5124},
                            {"step", 450},
                            {"totalSteps", 1000},
                            {"epoch", 1.35}}));
  EXPECT_EQ(cluster_.pass(), 0U) << "a second pass over the same report writes nothing";
}

TEST_F(ProgressOfAProgram, TheLastReportCountsThoughThePodsHaveEnded) {
  tell(99);
  cluster_.report->percent = 100;
  cluster_.end_pod("digits-worker-0", 0);
  cluster_.end_pod("digits-worker-1", 0);
  cluster_.settle();
  EXPECT_TRUE(cluster_.is("Succeeded"));
  EXPECT_EQ(cluster_.status().progress["percent"], 100);
  EXPECT_FALSE(cluster_.status().progress.contains("timeLeft"));
}

TEST_F(ProgressOfAProgram, ARestartLeavesThePercentageAndNoPaceAndAnOlderReportComesTooLate) {
  tell(60);
  cluster_.end_pod("digits-worker-1", 1);
  cluster_.settle();
  ASSERT_EQ(cluster_.status().incarnation, 2);
  EXPECT_EQ(cluster_.status().progress, (Json{{"percent", 60}}));
  cluster_.report->percent = 61;  // of incarnation 1
  pods_anew();
  EXPECT_EQ(cluster_.status().progress, (Json{{"percent", 60}}));
  tell(0);
  EXPECT_EQ(cluster_.status().progress["percent"], 0);
}

TEST_F(ProgressOfAProgram, StaysWhenTheOperatorStartsAnew) {
  tell(60);
  const Json before = cluster_.status().progress;
  cluster_.report.reset();
  cluster_.credentials.clear();
  EXPECT_EQ(cluster_.pass(), 0U);
  EXPECT_EQ(cluster_.status().progress, before);
}

TEST_F(ProgressOfAProgram, WhoHasToldNothingIsNotTakenForHung) {
  cluster_.advance(1h);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 0);
}

TEST_F(ProgressOfAProgram, WhoTellsTheSameForTooLongIsHung) {
  tell(10, {{"current_step", "1"}});
  cluster_.advance(110s);
  tell(10, {{"current_step", "2"}});
  EXPECT_EQ(cluster_.status().restarts, 0);
  cluster_.advance(110s);
  cluster_.report->seconds_left = 5;  // from a clock
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 0);
  cluster_.advance(11s);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 1);
  EXPECT_THAT(cluster_.condition("Restarting")->message, HasSubstr("no progress was told"));
  // And so when it comes to nothing after the restart: it is known to tell.
  pods_anew();
  cluster_.advance(125s);
  cluster_.settle();
  EXPECT_EQ(cluster_.status().restarts, 2);
}

TEST_F(ProgressOfAProgram, HasOneTokenForAllPodsBeforeTheFirst) {
  EXPECT_EQ(cluster_.secret_writes, 1);
  ASSERT_TRUE(cluster_.secrets.contains("digits-job-uid-cafe0123-progress"));
  EXPECT_TRUE(cluster_.secrets.begin()->second.token);
  cluster_.credentials.clear();  // the operator has started anew
  cluster_.end_pod("digits-worker-1", 1);
  pods_anew();
  EXPECT_EQ(cluster_.secret_writes, 1 + 1) << "no pod of the incarnation before was left to tell of it";
  const Json& main = cluster_.pods["digits-worker-0"]["spec"]["containers"][0];
  bool found = false;
  for (const Json& variable : main["env"])
    found =
        found || (variable["name"] == "KUBEFLOW_TRAINER_SERVER_URL" &&
                  variable["value"] ==
                      "https://here:8443" + report_path({.ns = text(cluster_.object["metadata"]["namespace"]),
                                                         .name = "digits",
                                                         .uid = "job-uid",
                                                         .incarnation = 2}));
  EXPECT_TRUE(found) << main["env"];
}

const api::ObjectMeta kOwner{
    .name = "digits", .ns = "team", .uid = "u-1", .resource_version = {}, .generation = 1, .deletion = {}};

// The last of a name, which counts.
std::map<std::string, std::string> env_of(const Json& container) {
  std::map<std::string, std::string> env;
  for (const Json& variable : container["env"]) env[variable["name"]] = text_at(variable, "value");
  return env;
}

Json with_progress(const char* spec) {
  const Json pod_template{{"spec", Json::parse(spec)}};
  return pod_manifest({.owner = kOwner,
                       .kind = "DistributedJob",
                       .role = "worker",
                       .incarnation = 3,
                       .pod_template = pod_template,
                       .image_is_ours = false,
                       .default_image = {},
                       .ca = "cafe0123",
                       .progress_url = "https://here:8443"});
}

TEST(ProgressInAPod, AProgramIsToldWhereToTellItsProgress) {
  const Json pod = with_progress(R"({"containers": [{"name": "side", "image": "s"},
      {"name": "worker", "image": "w", "env": [{"name": "KUBEFLOW_TRAINER_SERVER_URL", "value": "mine"}]}]})");
  EXPECT_EQ(pod["metadata"]["annotations"]["muster.dev/progress-ca"], "cafe0123");
  EXPECT_FALSE(pod["metadata"]["labels"].contains("muster.dev/ca")) << "it has no keys";
  const Json& volume = pod["spec"]["volumes"][0]["secret"];
  EXPECT_EQ(volume["secretName"], "digits-u-1-cafe0123-progress");
  EXPECT_EQ(volume["optional"], true) << "nothing depends on it";
  EXPECT_EQ(volume["defaultMode"], 0444);
  EXPECT_FALSE(pod["spec"]["containers"][0].contains("volumeMounts")) << "the role's container alone";
  const Json& main = pod["spec"]["containers"][1];
  EXPECT_EQ(main["volumeMounts"][0]["mountPath"], "/var/run/secrets/muster.dev/progress");
  EXPECT_EQ(main["volumeMounts"][0]["readOnly"], true);
  const auto env = env_of(main);
  EXPECT_EQ(env.at("KUBEFLOW_TRAINER_SERVER_URL"), "mine") << "the later one of a name counts";
  EXPECT_EQ(env.at("KUBEFLOW_TRAINER_SERVER_CA_CERT"), "/var/run/secrets/muster.dev/progress/ca.crt");
  EXPECT_EQ(env.at("KUBEFLOW_TRAINER_SERVER_TOKEN"), "/var/run/secrets/muster.dev/progress/token");
  EXPECT_FALSE(env_of(pod["spec"]["containers"][0]).contains("KUBEFLOW_TRAINER_SERVER_TOKEN"));
}

TEST(ProgressInAPod, ATokenIsTheGroupsWhereThereIsOne) {
  const Json pod = with_progress(
      R"({"securityContext": {"fsGroup": 7}, "containers": [{"name": "worker", "image": "w"}]})");
  EXPECT_EQ(pod["spec"]["volumes"][0]["secret"]["defaultMode"], 0440);
}

TEST(ProgressInAPod, WhoHasSomethingElseInThePlaceOfTheTokenKeepsIt) {
  for (
      const char* spec :
      {R"({"containers": [{"name": "worker", "image": "w"}], "volumes": [{"name": "muster-progress", "emptyDir": {}}]})",
       R"({"containers": [{"name": "worker", "image": "w",
             "volumeMounts": [{"name": "x", "mountPath": "/var/run/secrets/muster.dev/progress"}]}]})"}) {
    const Json pod = with_progress(spec);
    EXPECT_EQ(pod.dump().find("KUBEFLOW"), std::string::npos);
    EXPECT_EQ(pod.dump().find("progress-ca"), std::string::npos);
  }
}

TEST(ProgressOfATraining, HasNoToken) {
  ClusterModel cluster(job().workers(2).json());
  cluster.defaults.progress_url = "https://here:8443";
  cluster.bring_up();
  for (const auto& [name, made] : cluster.secrets) EXPECT_FALSE(made.token) << name;
  EXPECT_FALSE(cluster.pods["digits-worker-0"].dump().find("KUBEFLOW") != std::string::npos);
}

}  // namespace
}  // namespace muster::op::testing
