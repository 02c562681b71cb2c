// local/tests/api/http2_test.cc: many requests and streams on one connection, and what a client may cost
// there
#include <atomic>
#include <fstream>
#include <semaphore>

#include "local/api/http_listener.h"
#include "local/tests/api/listener_fixture.h"
#include "local/tests/support/http2_client.h"

namespace muster::local {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::Http2Client;
using testing::HttpsClient;

const std::string kMaps = "/api/v1/namespaces/default/configmaps";
const std::string kWatch = kMaps + "?watch=true";
constexpr std::uint32_t kNoError = 0;
constexpr std::uint32_t kCancel = 8;

class Http2Test : public ListenerTest {
 protected:
  Http2Client client() {
    auto client = Http2Client::connect(target_);
    if (!client) throw std::runtime_error(client.error().message);
    return std::move(*client);
  }
  static std::string map(const std::string& name, std::size_t bytes = 1) {
    return Json{{"metadata", {{"name", name}}}, {"data", {{"a", std::string(bytes, 'x')}}}}.dump();
  }
  static std::size_t count(const std::string& text, std::string_view what) {
    std::size_t found = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  }
  // The server closes the connection, and well before the client loses its patience.
  static bool done(Http2Client& client) {
    const auto begin = steady_clock::now();
    return !client.wait([] { return false; }) && steady_clock::now() - begin < 8s;
  }
};

TEST_F(Http2Test, AClientThatOffersNothingSpeaksHttp1) {
  listen();
  auto old = HttpsClient::connect(target_);
  ASSERT_TRUE(old);
  EXPECT_EQ(old->request("GET", "/healthz")->body, "ok");
  auto named = HttpsClient::connect(target_, "http/1.1");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->request("GET", "/healthz")->body, "ok");
}

TEST_F(Http2Test, RequestsInParallelAreAnsweredOnOneConnection) {
  listen();
  Http2Client client = this->client();
  std::vector<int> made;
  made.reserve(200);
  for (int i = 0; i < 200; ++i)
    made.push_back(client.send({.method = "POST", .path = kMaps, .body = map("m" + std::to_string(i))}));
  for (const int id : made) {
    ASSERT_TRUE(client.wait([&] { return client.stream(id).ended; }));
    EXPECT_EQ(client.stream(id).status, 201) << client.stream(id).body;
  }
  const auto list = client.request({.method = "GET", .path = kMaps});
  ASSERT_TRUE(list);
  EXPECT_EQ(Json::parse(list->body)["items"].size(), 201U);  // and the namespace's own kube-root-ca.crt
  EXPECT_EQ(list->headers.at("content-length"), std::to_string(list->body.size()));
  const auto head = client.request({.method = "HEAD", .path = "/healthz"});
  ASSERT_TRUE(head);
  EXPECT_EQ(head->body, "");
  EXPECT_EQ(listener_->connections(), 1U);
}

// Answers a request for "slow" once it is let go.
class SlowApi : public HttpApi {
 public:
  using HttpApi::HttpApi;
  HttpResponse handle(const HttpRequest& request) override {
    if (request.path.ends_with("/slow")) gate.acquire();
    return HttpApi::handle(request);
  }
  std::binary_semaphore gate{0};
};

TEST_F(Http2Test, ASlowRequestHoldsUpNoOther) {
  SlowApi api(api_.store, api_.kinds, api_.rest, {.token = "secret"});
  listen(api);
  Http2Client client = this->client();
  const int slow = client.send({.method = "GET", .path = kMaps + "/slow"});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.request({.method = "GET", .path = "/healthz"}));
  EXPECT_FALSE(client.stream(slow).closed);
  api.gate.release();
  ASSERT_TRUE(client.wait([&] { return client.stream(slow).ended; }));
  EXPECT_EQ(client.stream(slow).status, 404);
  listener_->close();
  listener_.reset();
}

TEST_F(Http2Test, AWatchSeesWhatTheSameConnectionWrites) {
  listen();
  Http2Client client = this->client();
  const int watch = client.send({.method = "GET", .path = kWatch});
  ASSERT_TRUE(client.wait([&] { return client.stream(watch).status == 200; }));
  for (int i = 0; i < 50; ++i) {
    const std::string name = "m" + std::to_string(i);
    const auto made = client.request({.method = "POST", .path = kMaps, .body = map(name)});
    ASSERT_TRUE(made);
    ASSERT_TRUE(client.wait([&] { return client.stream(watch).body.find(name) != std::string::npos; }));
  }
  EXPECT_EQ(count(client.stream(watch).body, "\"ADDED\""), 51U);
}

double anonymous_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("RssAnon:", 0) == 0) return std::stod(line.substr(8)) / 1024;
  return 0;
}

TEST_F(Http2Test, UnreadWatchesCostNoMemoryAndHoldUpNobody) {
  listen();
  Http2Client client = this->client();
  ASSERT_TRUE(client.request({.method = "POST", .path = kMaps, .body = map("a")}));
  std::vector<int> watches;
  watches.reserve(50);
  for (int i = 0; i < 50; ++i)
    watches.push_back(client.send({.method = "GET", .path = kWatch, .unread = true}));
  for (const int id : watches) ASSERT_TRUE(client.wait([&] { return client.stream(id).status == 200; }));
  const double before = anonymous_mib();
  for (std::size_t i = 1; i <= 200; ++i) {  // 20 MB, which buffered for each of them would be 1 GB
    const auto written =
        client.request({.method = "PUT", .path = kMaps + "/a", .body = map("a", 100'000 + i)});
    ASSERT_TRUE(written);
    ASSERT_EQ(written->status, 200) << written->body;
  }
  EXPECT_LT(anonymous_mib() - before,
            400);               // the history, in the heaps of eight threads; more with a sanitizer
  const int late = watches[7];  // and one that is read after all gets every change
  client.read(late);
  std::size_t looked_at = 0;
  std::size_t events = 0;
  ASSERT_TRUE(client.wait([&] {
    constexpr std::string_view kModified = "\"MODIFIED\"";
    const std::string& text = client.stream(late).body;
    for (std::size_t at = text.find(kModified, looked_at); at != std::string::npos;
         at = text.find(kModified, looked_at)) {
      ++events;
      looked_at = at + kModified.size();
    }
    looked_at = std::max(looked_at, text.size() - std::min(text.size(), kModified.size()));
    return events == 200;
  }));
}

// A log that never ends, and tells when its reader has let go of it.
class EndlessLogs : public LogSource {
 public:
  explicit EndlessLogs(std::atomic<int>& open_now) : open_(open_now) {}
  Result<std::unique_ptr<LogStream>> open(const LogQuery&) override {
    return std::unique_ptr<LogStream>(new Log(open_));
  }

 private:
  class Log : public LogStream {
   public:
    explicit Log(std::atomic<int>& open_now) : open_(open_now) { ++open_; }
    ~Log() override { --open_; }
    Result<std::optional<std::string>> read(std::chrono::milliseconds) override {
      std::this_thread::yield();
      return std::optional<std::string>(std::exchange(first_, ""));
    }

   private:
    std::atomic<int>& open_;
    std::string first_ = "a line\n";
  };
  std::atomic<int>& open_;
};

TEST_F(Http2Test, AResetStreamIsLetGoOfAtOnce) {
  listen();
  std::atomic<int> open_now{0};
  EndlessLogs logs(open_now);
  api_.http.attach_logs(&logs);
  const Json container{{"name", "c"}, {"image", "i"}};
  const Json pod{{"metadata", {{"name", "p"}}}, {"spec", {{"nodeName", "n"}, {"containers", {container}}}}};
  Http2Client client = this->client();
  const std::string path = "/api/v1/namespaces/default/pods";
  ASSERT_EQ(client.request({.method = "POST", .path = path, .body = pod.dump()})->status, 201);
  Json current = Json::parse(client.request({.method = "GET", .path = path + "/p"})->body);
  current["status"]["containerStatuses"] = Json::array({container});
  const auto put = client.request({.method = "PUT", .path = path + "/p/status", .body = current.dump()});
  ASSERT_EQ(put->status, 200) << put->body;
  const int log = client.send({.method = "GET", .path = path + "/p/log?follow=true"});
  ASSERT_TRUE(
      client.wait([&] { return client.stream(log).body == "a line\n" || client.stream(log).closed; }));
  EXPECT_EQ(open_now, 1) << client.stream(log).body;
  client.reset(log);
  EXPECT_TRUE(comes([&] { return open_now == 0; }));  // with nothing written to it
  EXPECT_TRUE(client.request({.method = "GET", .path = "/healthz"}));
  api_.http.attach_logs(nullptr);
}

TEST_F(Http2Test, AResetWatchMakesRoomForAnother) {
  listen();
  Http2Client client = this->client();
  for (int i = 0; i < 600; ++i) {  // 250 may be open at once
    const int watch = client.send({.method = "GET", .path = kWatch});
    ASSERT_TRUE(client.wait([&] { return client.stream(watch).status == 200; })) << i;
    client.reset(watch);
  }
  EXPECT_TRUE(client.request({.method = "GET", .path = "/healthz"}));
}

TEST_F(Http2Test, AClientThatLeavesItsWatchIsNoticed) {
  listen();
  {
    Http2Client client = this->client();
    const int watch = client.send({.method = "GET", .path = kWatch});
    ASSERT_TRUE(client.wait([&] { return client.stream(watch).status == 200; }));
    EXPECT_EQ(listener_->connections(), 1U);
  }
  EXPECT_TRUE(comes([&] { return listener_->connections() == 0; }));
}

TEST_F(Http2Test, TooMuchIsRefusedWithItsStatus) {
  listen();
  Http2Client client = this->client();
  const auto long_header =
      client.request({.method = "GET", .path = kMaps, .headers = {{"x-long", std::string(66'000, 'x')}}});
  ASSERT_TRUE(long_header);
  EXPECT_EQ(long_header->status, 431);
  const std::string much(4'000'000, ' ');
  const auto told = client.request(
      {.method = "POST", .path = kMaps, .body = much, .headers = {{"content-length", "4000000"}}});
  ASSERT_TRUE(told);
  EXPECT_EQ(told->status, 413);
  const auto untold = client.request({.method = "POST", .path = kMaps, .body = much});
  ASSERT_TRUE(untold);
  EXPECT_EQ(untold->status, 413);
  EXPECT_EQ(untold->error, kNoError);
  EXPECT_EQ(client.request({.method = "GET", .path = "/api/%zz"})->status, 400);
  const auto fits = client.request({.method = "POST", .path = kMaps, .body = map("big", 900'000)});
  ASSERT_TRUE(fits);
  EXPECT_EQ(fits->status, 201);
  EXPECT_EQ(listener_->connections(), 1U);
}

TEST_F(Http2Test, StrangersAreSentAwayBeforeTheirBody) {
  listen();
  target_.token = "wrong";
  Http2Client stranger = client();
  const int id = stranger.send({.method = "POST", .path = kMaps, .body = "{", .open = true});
  ASSERT_TRUE(stranger.wait([&] { return stranger.stream(id).closed; }));
  EXPECT_EQ(stranger.stream(id).status, 401);
  EXPECT_TRUE(done(stranger));
  EXPECT_TRUE(stranger.told_to_go());
}

TEST_F(Http2Test, DeadlinesEndWhatDoesNotMove) {
  listen({.greeting = 1s, .request = 300ms, .idle = 600ms});
  Http2Client silent = client();
  EXPECT_TRUE(done(silent));
  Http2Client client = this->client();
  const int watch = client.send({.method = "GET", .path = kWatch + "&timeoutSeconds=1"});
  const int body = client.send({.method = "POST", .path = kMaps, .body = "{", .open = true});
  ASSERT_TRUE(client.wait([&] { return client.stream(body).closed; }));
  EXPECT_EQ(client.stream(body).error, kCancel);
  ASSERT_TRUE(client.wait([&] { return client.stream(watch).closed; }));  // has no deadline but its own
  EXPECT_TRUE(client.stream(watch).ended);
  EXPECT_TRUE(done(client));
  EXPECT_TRUE(client.told_to_go());
  EXPECT_TRUE(comes([&] { return listener_->connections() == 0; }));
}

// It asks, frame upon frame, and never reads its socket.
TEST_F(Http2Test, AClientThatReadsNothingIsClosedAndHoldsUpNobody) {
  listen({.greeting = 1s, .request = 1s, .idle = 1s});
  auto deaf = HttpsClient::connect(target_, "h2");
  ASSERT_TRUE(deaf);
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  ASSERT_TRUE(deaf->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings));
  std::string pings;  // each is answered by as many bytes
  for (int i = 0; i < 4'000; ++i) pings += std::string("\0\0\x8\6\0\0\0\0\0", 9) + "deafdeaf";
  deaf->set_patience(2s);
  std::size_t sent = 0;
  Http2Client client = this->client();
  for (; sent < 1'000 && deaf->send(pings); ++sent) {
    if (sent % 100 == 0) {
      EXPECT_EQ(client.request({.method = "GET", .path = kMaps})->status, 200);
    }
  }
  EXPECT_LT(sent, 1'000U) << "64 MiB were taken of a client that reads nothing";
  EXPECT_EQ(client.request({.method = "GET", .path = kMaps})->status, 200);
  EXPECT_TRUE(comes([&] { return listener_->connections() == 1; }));
}

TEST_F(Http2Test, ClosingEndsWatchesProperlyAndSoon) {
  listen();
  Http2Client client = this->client();
  const int watch = client.send({.method = "GET", .path = kWatch});
  ASSERT_TRUE(client.wait([&] { return client.stream(watch).status == 200; }));
  Http2Client idle = this->client();
  ASSERT_TRUE(idle.request({.method = "GET", .path = "/healthz"}));
  const auto begin = steady_clock::now();
  api_.http.close();
  listener_->close();
  EXPECT_LT(steady_clock::now() - begin, 2s);
  EXPECT_TRUE(done(client));
  EXPECT_TRUE(client.stream(watch).ended);
  EXPECT_TRUE(client.told_to_go());
  EXPECT_TRUE(done(idle));
  EXPECT_TRUE(idle.told_to_go());
}

}  // namespace
}  // namespace muster::local
