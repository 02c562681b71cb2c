// tests/kube/request_test.cc: paths, queries and refusals
#include "kube/request.h"

#include <gtest/gtest.h>

#include "kube/api_error.h"

namespace muster::kube {
namespace {

using std::chrono::seconds;
const auto kNow = std::chrono::system_clock::from_time_t(1'700'000'000);

HttpResponse answer(int status, const Json& body, Headers headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = body.dump()};
}

TEST(Request, BuildsPathsOfCoreAndNamedGroups) {
  EXPECT_EQ(resource_path(kPods, "team"), "/api/v1/namespaces/team/pods");
  EXPECT_EQ(resource_path(kPods, ""), "/api/v1/pods");
  EXPECT_EQ(resource_path(kDistributedJobs, "a", "x", "status"),
            "/apis/muster.dev/v1alpha1/namespaces/a/distributedjobs/x/status");
  EXPECT_EQ(resource_path(kNamespaces, "ignored", "n"), "/api/v1/namespaces/n");
}

TEST(Request, EncodesWhatCouldLeaveThePath) {
  EXPECT_EQ(resource_path(kPods, "a/../b", "x?y#z"), "/api/v1/namespaces/a%2F..%2Fb/pods/x%3Fy%23z");
}

TEST(Request, ListCarriesSelectorAndPage) {
  const auto request = list_request(kPods, "",
                                    {.label_selector = "a=b,c in (d)",
                                     .field_selector = {},
                                     .resource_version = "7",
                                     .continue_token = {},
                                     .limit = 500});
  EXPECT_EQ(request.target,
            "/api/v1/pods?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=500&resourceVersion=7"
            "&resourceVersionMatch=NotOlderThan");
}

TEST(Request, ListNeverSendsAVersionBesideAContinueToken) {
  const auto request = list_request(kPods, "",
                                    {.label_selector = {},
                                     .field_selector = {},
                                     .resource_version = "7",
                                     .continue_token = "t==",
                                     .limit = 5});
  EXPECT_EQ(request.target, "/api/v1/pods?limit=5&continue=t%3D%3D");
}

TEST(Request, WatchAsksForBookmarksAndATimeout) {
  WatchOptions options;
  options.resource_version = "12";
  options.timeout = seconds(310);
  EXPECT_EQ(
      watch_request(kPods, "n", options).target,
      "/api/v1/namespaces/n/pods?watch=1&resourceVersion=12&allowWatchBookmarks=true&timeoutSeconds=310");
}

TEST(Request, LogCarriesItsOptions) {
  LogOptions options;
  options.container = "worker";
  options.follow = true;
  options.tail_lines = 10;
  EXPECT_EQ(log_request("n", "p", options).target,
            "/api/v1/namespaces/n/pods/p/log?container=worker&follow=true&tailLines=10");
}

TEST(ApiError, TellsAlreadyExistsFromConflictByReason) {
  const auto exists = parse_api_error(
      answer(409, {{"kind", "Status"}, {"code", 409}, {"reason", "AlreadyExists"}, {"message", "m"}}), kNow);
  const auto conflict = parse_api_error(
      answer(409, {{"kind", "Status"}, {"code", 409}, {"reason", "Conflict"}, {"message", "m"}}), kNow);
  EXPECT_EQ(to_error(exists).code, Code::kAlreadyExists);
  EXPECT_EQ(to_error(conflict).code, Code::kAborted);
}

TEST(ApiError, FallsBackToTheHttpCodeWhenAProxyAnswers) {
  const auto error = parse_api_error({.status = 503, .headers = {}, .body = "<html>\nsorry\n</html>"}, kNow);
  EXPECT_EQ(to_error(error).code, Code::kUnavailable);
  EXPECT_NE(error.message.find("HTTP 503: <html> sorry"), std::string::npos) << error.message;
}

TEST(ApiError, ShowsTheCausesOfAnInvalidObject) {
  const auto error = parse_api_error(
      answer(422,
             {{"kind", "Status"},
              {"reason", "Invalid"},
              {"message", "x is invalid"},
              {"details", {{"causes", {{{"field", "spec.replicas"}, {"message", "must be positive"}}}}}}}),
      kNow);
  EXPECT_EQ(to_error(error).code, Code::kInvalidArgument);
  EXPECT_EQ(error.message, "x is invalid; spec.replicas: must be positive");
}

TEST(ApiError, ANamespaceThatGoesIsNamedOnce) {
  const std::string message = "pods \"p\" is forbidden: namespace n is being terminated";
  const Json cause{
      {"reason", "NamespaceTerminating"}, {"field", "metadata.namespace"}, {"message", "namespace n goes"}};
  const auto error = parse_api_error(answer(403, {{"kind", "Status"},
                                                  {"reason", "Forbidden"},
                                                  {"message", message},
                                                  {"details", {{"causes", Json::array({cause})}}}}),
                                     kNow);
  EXPECT_EQ(error.message, message);
}

TEST(ApiError, ReadsRetryAfterFromHeaderDateAndDetails) {
  const Json status{{"kind", "Status"}, {"message", "busy"}, {"details", {{"retryAfterSeconds", 3}}}};
  EXPECT_EQ(parse_api_error(answer(429, status), kNow).retry_after, seconds(3));
  EXPECT_EQ(parse_api_error(answer(429, status, {{"retry-after", "7"}}), kNow).retry_after, seconds(7));
  EXPECT_EQ(parse_api_error(answer(503, status, {{"Retry-After", "Tue, 14 Nov 2023 22:13:30 GMT"}}), kNow)
                .retry_after,
            seconds(10));
  EXPECT_EQ(parse_api_error(answer(503, status, {{"Retry-After", "-4"}}), kNow).retry_after, seconds(3));
  EXPECT_EQ(parse_api_error(answer(503, status, {{"Retry-After", "99999999999"}}), kNow).retry_after,
            seconds(3600));
}

TEST(ApiError, TooLargeResourceVersionMeansListAgain) {
  const auto error = parse_api_error(
      answer(504, {{"kind", "Status"},
                   {"reason", "Timeout"},
                   {"message", "Too large resource version"},
                   {"details", {{"causes", {{{"reason", "ResourceVersionTooLarge"}, {"message", "x"}}}}}}}),
      kNow);
  EXPECT_EQ(to_error(error).code, Code::kOutOfRange);
}

TEST(ApiError, SurvivesStatusObjectsOfTheWrongShape) {
  for (const Json& body :
       {Json::array(), Json("text"), Json{{"kind", "Status"}, {"code", "x"}, {"details", 3}},
        Json{{"kind", "Status"}, {"details", {{"causes", {1, "a", nullptr}}}}}}) {
    EXPECT_EQ(to_error(parse_api_error(answer(410, body), kNow)).code, Code::kOutOfRange) << body;
  }
}

}  // namespace
}  // namespace muster::kube
