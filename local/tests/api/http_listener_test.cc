// local/tests/api/http_listener_test.cc: clients that are slow, half there, or too much, on real sockets
#include "local/api/http_listener.h"

#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "local/tests/api/listener_fixture.h"

namespace muster::local {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::HttpsClient;
using testing::HttpsTarget;

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";
constexpr std::string_view kModified = "\"MODIFIED\"";

class HttpListenerTest : public ListenerTest {
 protected:
  void SetUp() override {
    ListenerTest::SetUp();
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);  // both ends of a connection are ours
    setrlimit(RLIMIT_NOFILE, &files);
  }
  HttpsClient client() {
    auto client = HttpsClient::connect(target_);
    if (!client) throw std::runtime_error(client.error().message);
    client->set_patience(10s);
    return std::move(*client);
  }
  static bool closed(int fd) {  // by the other side; waits
    timeval patience{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char bytes[4096];  // TLS 1.3's session tickets come first
    ssize_t got = 0;
    while ((got = ::recv(fd, bytes, sizeof bytes, 0)) > 0) {
    }
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }
  static std::string map(int number, std::size_t bytes = 1) {
    return Json{{"metadata", {{"name", "map-" + std::to_string(number)}}},
                {"data", {{"a", std::string(bytes, 'x')}}}}
        .dump();
  }
};

TEST_F(HttpListenerTest, ServesManyRequestsOnOneConnection) {
  listen();
  HttpsClient client = this->client();
  for (int i = 0; i < 20; ++i) {
    const auto made = client.request("POST", kMaps, map(i));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->status, 201) << made->body;
  }
  const auto list = client.request("GET", std::string(kMaps) + "?labelSelector=a%3Db");
  ASSERT_TRUE(list);
  EXPECT_EQ(list->status, 200);
  EXPECT_EQ(listener_->connections(), 1U);
}

TEST_F(HttpListenerTest, TwoRequestsSentAtOnceAreAnsweredInOrder) {
  listen();
  HttpsClient client = this->client();
  ASSERT_TRUE(client.send(client.head("GET", "/healthz", 0) + client.head("GET", "/version", 0)));
  const auto first = client.receive_response();
  const auto second = client.receive_response();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->body, "ok");
  EXPECT_EQ(Json::parse(second->body)["major"], "1");
}

TEST_F(HttpListenerTest, HalfHereClientsHoldUpNobody) {
  listen();
  std::vector<int> silent;
  for (int i = 0; i < 200; ++i) {  // half of them say nothing, half stop within the handshake
    silent.push_back(testing::connect_tcp(target_));
    ASSERT_GE(silent.back(), 0);
    const std::size_t bytes = i % 2 == 0 ? 4 : 0;
    ASSERT_EQ(::send(silent.back(), "\x16\x03\x01\x02", bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
  }
  std::vector<HttpsClient> half;
  for (int i = 0; i < 200; ++i) {
    half.push_back(client());
    const std::string request = half.back().head("POST", kMaps, 4000) + std::string(2000, ' ');
    ASSERT_TRUE(half.back().send(request.substr(0, i % 2 == 0 ? 60 : request.size())));
  }
  for (int i = 0; i < 50; ++i) {  // watches that nobody reads
    half.push_back(client());
    ASSERT_TRUE(half.back().send(half.back().head("GET", std::string(kMaps) + "?watch=true", 0)));
  }
  HttpsClient quick = client();
  auto slowest = 0ns;
  for (int i = 0; i < 200; ++i) {
    const auto begin = steady_clock::now();
    const auto made = quick.request("POST", kMaps, map(i));
    ASSERT_TRUE(made) << made.error().message;
    ASSERT_EQ(made->status, 201);
    slowest = std::max<std::chrono::nanoseconds>(slowest, steady_clock::now() - begin);
  }
  EXPECT_LT(slowest, 1s);  // milliseconds; a client that waits for others would wait for their deadline
  for (const int fd : silent) ::close(fd);
}

TEST_F(HttpListenerTest, ASlowReaderGetsAllAndHoldsUpNobody) {
  listen();
  HttpsClient quick = client();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(quick.request("POST", kMaps, map(i, 500'000)));
  HttpsClient slow = client();
  ASSERT_TRUE(slow.send(slow.head("GET", kMaps, 0)));  // 10 MB, of which it takes a little at a time
  for (int i = 0; i < 50; ++i) {
    const auto answer = quick.request("GET", "/api/v1/namespaces/default");
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->status, 200);
  }
  const auto list = slow.receive_response();
  ASSERT_TRUE(list);
  EXPECT_EQ(Json::parse(list->body)["items"].size(), 21U);  // and the namespace's own kube-root-ca.crt
}

double anonymous_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("RssAnon:", 0) == 0) return std::stod(line.substr(8)) / 1024;
  return 0;
}

TEST_F(HttpListenerTest, UnreadWatchesCostNoMemory) {
  listen();
  HttpsClient writer = client();
  ASSERT_TRUE(writer.request("POST", kMaps, map(0)));
  std::vector<HttpsClient> watches;
  for (int i = 0; i < 50; ++i) {
    watches.push_back(client());
    ASSERT_TRUE(watches.back().send(watches.back().head("GET", std::string(kMaps) + "?watch=true", 0)));
    ASSERT_TRUE(watches.back().receive_response(true));
  }
  const double before = anonymous_mib();
  for (int i = 1; i <= 200; ++i) {  // 20 MB, which buffered for each of them would be 1 GB
    const auto written =
        writer.request("PUT", std::string(kMaps) + "/map-0", map(0, 100'000 + static_cast<std::size_t>(i)));
    ASSERT_TRUE(written);
    ASSERT_EQ(written->status, 200) << written->body;
  }
  EXPECT_LT(anonymous_mib() - before, 150);  // the history and the allocator's slack
  std::string text;                          // and one that reads after all gets every change
  std::size_t events = 0;
  std::size_t looked_at = 0;
  while (events < 200) {
    ASSERT_TRUE(watches[7].receive(text));
    for (std::size_t at = text.find(kModified, looked_at); at != std::string::npos;
         at = text.find(kModified, looked_at)) {
      ++events;
      looked_at = at + kModified.size();
    }
    looked_at = std::max(looked_at, text.size() - std::min(text.size(), kModified.size()));
  }
}

TEST_F(HttpListenerTest, TooMuchIsRefusedWithItsStatus) {
  listen();
  const auto answer_to = [this](const std::string& request) {
    HttpsClient client = this->client();
    (void)client.send(request);  // may be answered before all is sent
    const auto answer = client.receive_response();
    return answer ? answer->status : 0;
  };
  HttpsClient any = client();
  std::string head = any.head("GET", kMaps, 0);
  head.insert(head.size() - 2, "X-Long: " + std::string(70'000, 'x') + "\r\n");
  EXPECT_EQ(answer_to(head), 431);
  EXPECT_EQ(answer_to(any.head("POST", kMaps, 4'000'000)), 413);
  std::string chunked = any.head("POST", kMaps, 0);
  chunked.insert(chunked.size() - 2, "Transfer-Encoding: chunked\r\n");
  for (int i = 0; i < 40; ++i) chunked += "186a0\r\n" + std::string(100'000, ' ') + "\r\n";
  EXPECT_EQ(answer_to(chunked), 413);
  EXPECT_EQ(answer_to("this is not HTTP\r\n\r\n"), 400);
  EXPECT_EQ(answer_to(any.head("GET", "/api/%zz", 0)), 400);
  const auto alive = any.request("GET", "/healthz");
  ASSERT_TRUE(alive);
  EXPECT_EQ(alive->status, 200);
}

TEST_F(HttpListenerTest, AnExpectedContinueIsSent) {
  listen();
  HttpsClient client = this->client();
  const std::string body = map(1);
  std::string head = client.head("POST", kMaps, body.size());
  head.insert(head.size() - 2, "Expect: 100-continue\r\n");
  ASSERT_TRUE(client.send(head));
  const auto go_on = client.receive_response();
  ASSERT_TRUE(go_on);
  EXPECT_EQ(go_on->status, 100);
  ASSERT_TRUE(client.send(body));
  const auto made = client.receive_response();
  ASSERT_TRUE(made);
  EXPECT_EQ(made->status, 201);
}

TEST_F(HttpListenerTest, StrangersAreSentAway) {
  listen();
  HttpsTarget stranger = target_;
  stranger.token = "wrong";
  auto client = HttpsClient::connect(stranger);
  ASSERT_TRUE(client);
  client->set_patience(10s);
  const auto answer = client->request("GET", kMaps);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 401);
  std::string more;
  EXPECT_FALSE(client->receive(more));  // closed
}

TEST_F(HttpListenerTest, DeadlinesEndWhatDoesNotMove) {
  listen({.greeting = 1s, .request = 300ms, .idle = 300ms});
  const int silent = testing::connect_tcp(target_);
  EXPECT_TRUE(closed(silent));
  ::close(silent);
  HttpsClient half = client();
  ASSERT_TRUE(half.send("GET /heal"));
  EXPECT_TRUE(closed(half.fd()));
  HttpsClient idle = client();
  ASSERT_TRUE(idle.request("GET", "/healthz"));
  std::string more;
  EXPECT_FALSE(idle.receive(more));
  HttpsClient body = client();
  ASSERT_TRUE(body.request("GET", "/healthz"));
  ASSERT_TRUE(body.send(body.head("POST", kMaps, 100) + "{"));
  EXPECT_FALSE(body.receive(more));
  HttpsClient watch = client();  // has no deadline but its own
  ASSERT_TRUE(watch.send(watch.head("GET", std::string(kMaps) + "?watch=true&timeoutSeconds=1", 0)));
  const auto begin = steady_clock::now();
  const auto all = watch.receive_response();
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_GE(steady_clock::now() - begin, 900ms);
  EXPECT_TRUE(comes([&] { return listener_->connections() == 0; }));
}

TEST_F(HttpListenerTest, AFullHouseMakesRoomForAnHonestClient) {
  listen({.connections = 8});
  HttpsClient first = client();
  ASSERT_TRUE(first.request("GET", "/healthz"));
  std::vector<int> silent;
  silent.reserve(30);
  for (int i = 0; i < 30; ++i) silent.push_back(testing::connect_tcp(target_));
  HttpsClient honest = client();
  const auto answer = honest.request("GET", kMaps);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  const auto still = first.request("GET", "/healthz");  // who has shown the token is not dropped
  ASSERT_TRUE(still) << still.error().message;
  EXPECT_LE(listener_->connections(), 8U);
  for (const int fd : silent) ::close(fd);
}

TEST_F(HttpListenerTest, AClientThatLeavesItsWatchIsNoticed) {
  listen();
  {
    HttpsClient watch = client();
    ASSERT_TRUE(watch.send(watch.head("GET", std::string(kMaps) + "?watch=true", 0)));
    ASSERT_TRUE(watch.receive_response(true));
    EXPECT_EQ(listener_->connections(), 1U);
  }
  EXPECT_TRUE(comes([&] { return listener_->connections() == 0; }));  // with nothing written to it
}

TEST_F(HttpListenerTest, ClosingEndsWatchesProperlyAndSoon) {
  listen();
  HttpsClient watch = client();
  ASSERT_TRUE(watch.send(watch.head("GET", std::string(kMaps) + "?watch=true", 0)));
  const int silent = testing::connect_tcp(target_);
  HttpsClient idle = client();
  ASSERT_TRUE(idle.request("GET", "/healthz"));
  const auto begin = steady_clock::now();
  api_.http.close();
  const auto all = watch.receive_response();  // with its last chunk
  EXPECT_TRUE(all) << all.error().message;
  listener_->close();
  EXPECT_LT(steady_clock::now() - begin, 2s);
  EXPECT_TRUE(closed(silent));
  ::close(silent);
}

}  // namespace
}  // namespace muster::local
