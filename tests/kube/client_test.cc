// tests/kube/client_test.cc: verbs against a scripted transport
#include "kube/client.h"

#include <gtest/gtest.h>

#include <thread>

#include "kube/identity.h"
#include "tests/support/fake_transport.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TurningIdentity final : public IdentitySource {  // a token that changes when it is refused
 public:
  Result<Identity> get() override { return Identity{.bearer_token = "token-" + std::to_string(turn_)}; }
  void invalidate() override { ++turn_; }
  int turn_ = 1;
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    Client::Options options;
    options.sleep = [this](milliseconds span) { slept_.push_back(span); };
    options.on_warning = [this](const std::string& text) { warnings_.push_back(text); };
    options.on_answer = [this](std::string_view method, std::string_view code) {
      answers_.push_back(std::string(method) + " " + std::string(code));
    };
    client_ = std::make_unique<Client>(transport_, identity_, std::move(options));
  }
  static Json status(int code, const std::string& reason) {
    return {{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", reason}};
  }
  [[nodiscard]] HttpRequest asked(std::size_t i) const { return transport_->requests().at(i); }

  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  std::shared_ptr<TurningIdentity> identity_ = std::make_shared<TurningIdentity>();
  std::vector<milliseconds> slept_;
  std::vector<std::string> warnings_;
  std::vector<std::string> answers_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, SaysWhoItIs) {
  transport_->will_json(200, {{"kind", "Pod"}});
  ASSERT_TRUE(client_->get(kPods, "n", "p"));
  EXPECT_EQ(header(asked(0).headers, "authorization"), "Bearer token-1");
  EXPECT_TRUE(header(asked(0).headers, "User-Agent").starts_with("muster/" MUSTER_VERSION " (linux/"));
}

TEST_F(ClientTest, AsksForANewTokenOnceAfter401) {
  transport_->will_json(401, status(401, "Unauthorized"));
  transport_->will_json(200, {{"kind", "Pod"}});
  ASSERT_TRUE(client_->get(kPods, "n", "p"));
  EXPECT_EQ(header(asked(1).headers, "Authorization"), "Bearer token-2");
  transport_->will_json(401, status(401, "Unauthorized"));
  transport_->will_json(401, status(401, "Unauthorized"));
  const auto refused = client_->get(kPods, "n", "p");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnauthenticated);
  EXPECT_EQ(transport_->requests().size(), 4U);
}

TEST_F(ClientTest, WaitsAsLongAsTheServerAsksFor) {
  transport_->will_json(429, status(429, "TooManyRequests"), {{"Retry-After", "2"}});
  transport_->will_json(503, status(503, "ServiceUnavailable"), {{"Retry-After", "1"}});
  transport_->will_json(201, {{"kind", "Pod"}});
  ASSERT_TRUE(client_->create(kPods, "n", {{"metadata", {{"name", "p"}}}}));
  EXPECT_EQ(slept_, (std::vector<milliseconds>{seconds(2), seconds(1)}));
}

TEST_F(ClientTest, ACreateMayBeStrictAndHearsTheServersWarnings) {
  transport_->will_json(201, {{"kind", "Pod"}}, {{"Warning", R"(299 - "unknown field \"spec.x\"")"}});
  std::vector<std::string> warnings;
  ASSERT_TRUE(client_->create(kPods, "n", Json::object(), {.strict = true, .dry_run = true}, &warnings));
  EXPECT_EQ(transport_->requests()[0].target, "/api/v1/namespaces/n/pods?fieldValidation=Strict&dryRun=All");
  EXPECT_EQ(warnings, std::vector<std::string>{"unknown field \"spec.x\""});
}

TEST_F(ClientTest, ACreateWhoseAnswerNobodyReadsAsksForMetadataAlone) {
  for (int i = 0; i < 2; ++i) transport_->will_json(201, {{"kind", "PartialObjectMetadata"}});
  ASSERT_TRUE(client_->create(kSecrets, "n", Json::object(), {.metadata_only = true}));
  ASSERT_TRUE(client_->create(kSecrets, "n", Json::object()));
  EXPECT_EQ(header(asked(0).headers, "Accept"),
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
  EXPECT_EQ(header(asked(1).headers, "Accept"), "application/json");
}

TEST_F(ClientTest, GivesUpWaitingAfterTenTriesOrTheRequestsTime) {
  for (int i = 0; i < 20; ++i)
    transport_->will_json(429, status(429, "TooManyRequests"), {{"Retry-After", "0"}});
  const auto busy = client_->get(kPods, "n", "p");
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, Code::kResourceExhausted);
  EXPECT_EQ(transport_->requests().size(), 10U);
}

TEST_F(ClientTest, DoesNotWaitLongerThanARequestMayTake) {
  transport_->will_json(429, status(429, "TooManyRequests"), {{"Retry-After", "3000"}});
  EXPECT_FALSE(client_->get(kPods, "n", "p"));
  EXPECT_TRUE(slept_.empty());
}

TEST_F(ClientTest, AWaitEndsWithAStopAndNoneBeginsAfterIt) {
  std::stop_source stop;
  Client::Options options;
  options.stop = stop.get_token();
  Client client(transport_, identity_, std::move(options));
  for (int i = 0; i < 2; ++i)
    transport_->will_json(503, status(503, "ServiceUnavailable"), {{"Retry-After", "20"}});
  const auto before = std::chrono::steady_clock::now();
  std::jthread stopper([&] {
    ASSERT_TRUE(transport_->wait_for_requests(1));
    stop.request_stop();
  });
  const auto waiting = client.get(kPods, "n", "p");
  ASSERT_FALSE(waiting);
  EXPECT_EQ(waiting.error().code, Code::kUnavailable);
  EXPECT_FALSE(client.get(kPods, "n", "p"));
  EXPECT_EQ(transport_->requests().size(), 2U) << "requests still go out, once each";
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(10));
}

TEST_F(ClientTest, A500WithoutRetryAfterIsNotRepeated) {
  transport_->will_json(500, status(500, "InternalError"));
  const auto broken = client_->create(kPods, "n", {{"metadata", {{"name", "p"}}}});
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::kInternal);
  EXPECT_EQ(transport_->requests().size(), 1U);
}

TEST_F(ClientTest, ErrorsNameVerbAndObject) {
  transport_->will_json(404, status(404, "NotFound"));
  const auto missing = client_->get(kDistributedJobs, "n", "x");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(missing.error().message, "get DistributedJob n/x: NotFound");
}

TEST_F(ClientTest, AnAnswerThatIsNoJsonIsDataLoss) {
  transport_->will(HttpResponse{.status = 200, .headers = {}, .body = "<html>"});
  const auto page = client_->get(kPods, "n", "p");
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, Code::kDataLoss);
}

TEST_F(ClientTest, ListFillsInKindAndApiVersion) {
  transport_->will_json(
      200, {{"metadata", {{"resourceVersion", "5"}}}, {"items", {{{"metadata", {{"name", "a"}}}}}}});
  const auto page = client_->list(kDistributedJobs, "n");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->items.at(0)["kind"], "DistributedJob");
  EXPECT_EQ(page->items.at(0)["apiVersion"], "muster.dev/v1alpha1");
  EXPECT_EQ(page->resource_version, "5");
}

TEST_F(ClientTest, ListAllStartsOverWhenAPageTokenHasExpired) {
  const Json first{{"metadata", {{"resourceVersion", "5"}, {"continue", "t"}}}, {"items", {{{"a", 1}}}}};
  const Json only{{"metadata", {{"resourceVersion", "6"}}}, {"items", {{{"b", 1}}, {{"c", 1}}}}};
  transport_->will_json(200, first);
  transport_->will_json(410, status(410, "Expired"));
  transport_->will_json(200, only);
  const auto all = client_->list_all(kPods, "n");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->items.size(), 2U);
  EXPECT_EQ(asked(2).target.find("continue"), std::string::npos);
}

TEST_F(ClientTest, PatchesCarryTheirContentType) {
  for (int i = 0; i < 3; ++i) transport_->will_json(200, Json::object());
  ASSERT_TRUE(client_->patch(kDistributedJobs, "n", "x", PatchType::kMerge, Json::object(),
                             {.subresource = "status", .field_manager = {}, .force = false}));
  ASSERT_TRUE(client_->patch(kPods, "n", "x", PatchType::kJson, Json::array()));
  ASSERT_TRUE(client_->patch(kPods, "n", "x", PatchType::kApply, Json::object(),
                             {.subresource = {}, .field_manager = "muster", .force = true}));
  EXPECT_EQ(header(asked(0).headers, "Content-Type"), "application/merge-patch+json");
  EXPECT_TRUE(asked(0).target.ends_with("/distributedjobs/x/status"));
  EXPECT_EQ(header(asked(1).headers, "Content-Type"), "application/json-patch+json");
  EXPECT_EQ(header(asked(2).headers, "Content-Type"), "application/apply-patch+yaml");
  EXPECT_TRUE(asked(2).target.ends_with("/pods/x?fieldManager=muster&force=true"));
}

TEST_F(ClientTest, DeleteSendsPreconditionPropagationAndGrace) {
  transport_->will_json(200, Json::object());
  ASSERT_TRUE(client_->remove(
      kPods, "n", "p",
      {.uid = "u", .resource_version = {}, .propagation = Propagation::kForeground, .grace = seconds(0)}));
  const Json body = Json::parse(asked(0).body);
  EXPECT_EQ(body["preconditions"]["uid"], "u");
  EXPECT_EQ(body["propagationPolicy"], "Foreground");
  EXPECT_EQ(body["gracePeriodSeconds"], 0);
}

TEST_F(ClientTest, AWarningIsSaidOnce) {
  for (int i = 0; i < 2; ++i) transport_->will_json(200, Json::object(), {{"Warning", "299 - \"old\""}});
  ASSERT_TRUE(client_->get(kPods, "n", "p"));
  ASSERT_TRUE(client_->get(kPods, "n", "p"));
  EXPECT_EQ(warnings_.size(), 1U);
  EXPECT_EQ(answers_, (std::vector<std::string>{"GET 200", "GET 200"}));
}

TEST_F(ClientTest, AnErrorEventEndsTheWatchWithItsMeaning) {
  const std::string line = Json{{"type", "ERROR"}, {"object", status(410, "Expired")}}.dump() + "\n";
  transport_->will(FakeTransport::Stream{.pieces = {line}, .end = {}, .stays_open = false, .after = {}});
  const auto end = client_->watch(kPods, "n", {}, {}, [](const WatchEvent&) { return true; });
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Code::kOutOfRange);
}

TEST_F(ClientTest, AWatchRefusedWith410IsTheSame) {
  transport_->will_json(410, status(410, "Gone"));
  const auto end = client_->watch(kPods, "n", {}, {}, [](const WatchEvent&) { return true; });
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Code::kOutOfRange);
}

TEST_F(ClientTest, LogsArriveAsBytes) {
  transport_->will(
      FakeTransport::Stream{.pieces = {"one\ntw", "o\n"}, .end = {}, .stays_open = false, .after = {}});
  std::string text;
  ASSERT_TRUE(client_->logs("n", "p", {}, {}, [&](std::string_view bytes) {
    text += bytes;
    return true;
  }));
  EXPECT_EQ(text, "one\ntwo\n");
}

}  // namespace
}  // namespace muster::kube
