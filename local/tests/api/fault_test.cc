// Faults on request: each kind, and that they hit what they are meant for and nothing else.
#include <tuple>

#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

HttpApi::Options with(Fault fault) { return HttpApi::Options{"", {std::move(fault)}}; }

TEST(Fault, AConflictAnExpiryAndAServerErrorComeInsteadOfTheDeed) {
  const std::tuple<FaultKind, int, const char*> kCases[] = {
      {FaultKind::kConflict, 409, "Conflict"},
      {FaultKind::kExpired, 410, "Expired"},
      {FaultKind::kTooManyRequests, 429, "TooManyRequests"},
      {FaultKind::kServerError, 500, "InternalError"},
  };
  for (const auto& [kind, code, reason] : kCases) {
    Api api(with({.kind = kind, .method = "POST", .path_contains = "configmaps"}));
    const HttpResponse refused = api.call("POST", kMaps, config_map("a"));
    EXPECT_EQ(refused.status, code);
    EXPECT_EQ(Json::parse(refused.body)["reason"], reason);
    EXPECT_EQ(api.store.get("configmaps", "default", "a"), nullptr);
    EXPECT_EQ(api.call("POST", kMaps, config_map("a")).status, 201) << "it hits once";
  }
}

TEST(Fault, TooManyRequestsSayWhenToComeBack) {
  Api api(with({.kind = FaultKind::kTooManyRequests}));
  const HttpResponse refused = api.call("GET", kMaps);
  EXPECT_EQ(refused.headers.front(), (std::pair<std::string, std::string>{"Retry-After", "1"}));
  EXPECT_EQ(Json::parse(refused.body)["details"]["retryAfterSeconds"], 1);
}

TEST(Fault, ATimeoutAfterCommitHasDoneTheDeed) {
  Api api(with({.kind = FaultKind::kTimeoutAfterCommit, .method = "POST"}));
  EXPECT_EQ(api.call("POST", kMaps, config_map("a")).status, 504);
  EXPECT_NE(api.store.get("configmaps", "default", "a"), nullptr);
}

TEST(Fault, ASlowAnswerIsTheSameAnswerLater) {
  constexpr auto kDelay = std::chrono::milliseconds(30);
  Api api(with({.kind = FaultKind::kSlow, .method = "GET", .delay = kDelay}));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(api.call("GET", kMaps).status, 200);
  EXPECT_GE(std::chrono::steady_clock::now() - start, kDelay);
}

TEST(Fault, ACutRequestHasNoAnswerAndACutWatchEndsAfterItsFirstEvent) {
  Api api(HttpApi::Options{
      "",
      {Fault{.kind = FaultKind::kCut, .method = "WATCH"}, Fault{.kind = FaultKind::kCut, .method = "GET"}}});
  EXPECT_TRUE(api.call("GET", kMaps).cut);
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true&labelSelector=none");
  EXPECT_TRUE(watch.cut);
  ASSERT_NE(watch.stream, nullptr);
  Json object = config_map("a");
  object["metadata"]["labels"]["none"] = "";
  (void)api.json("POST", kMaps, object);
  (void)api.merge(std::string(kMaps) + "/a", {{"data", {{"k", "v"}}}});
  EXPECT_EQ(read_events(*watch.stream, 2).size(), 1U);
}

TEST(Fault, AnExpiredWatchGetsItAsAnEvent) {
  Api api(with({.kind = FaultKind::kExpired, .method = "WATCH"}));
  const HttpResponse watch = api.call("GET", std::string(kMaps) + "?watch=true");
  EXPECT_EQ(watch.status, 200);
  EXPECT_EQ(Json::parse(watch.body)["object"]["code"], 410);
}

TEST(Fault, TheScriptSkipsCountsAndLooksAtThePath) {
  Faults faults(FaultScript{Fault{
      .kind = FaultKind::kConflict, .method = "PUT", .path_contains = "/pods/", .skip = 1, .count = 2}});
  EXPECT_FALSE(faults.next("PUT", "/api/v1/namespaces/x/configmaps/a"));
  EXPECT_FALSE(faults.next("GET", "/api/v1/namespaces/x/pods/a"));
  EXPECT_FALSE(faults.next("PUT", "/api/v1/namespaces/x/pods/a")) << "skipped";
  EXPECT_TRUE(faults.next("PUT", "/api/v1/namespaces/x/pods/a"));
  EXPECT_TRUE(faults.next("PUT", "/api/v1/namespaces/x/pods/b"));
  EXPECT_FALSE(faults.next("PUT", "/api/v1/namespaces/x/pods/b")) << "used up";
}

}  // namespace
}  // namespace muster::local
