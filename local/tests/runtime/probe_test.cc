// local/tests/runtime/probe_test.cc: thresholds on paused time, checks against a real socket
#include "local/runtime/probe.h"

#include <arpa/inet.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "local/runtime/dialogue.h"
#include "local/runtime/prober.h"

namespace muster::local {
namespace {

using std::chrono::seconds;

TEST(Probe, WaitsThenCountsAnswersInARow) {
  const Instant start = Instant() + seconds(100);
  Probe probe(ProbeKind::kLiveness,
              {{"initialDelaySeconds", 5}, {"periodSeconds", 2}, {"failureThreshold", 2}}, start);
  EXPECT_EQ(probe.due(), start + seconds(5));
  probe.begin();
  EXPECT_EQ(probe.due(), std::nullopt);
  EXPECT_EQ(probe.answer(false, start + seconds(5)), ProbeVerdict::kUndecided);
  EXPECT_EQ(probe.due(), start + seconds(7));
  EXPECT_EQ(probe.answer(true, start + seconds(7)), ProbeVerdict::kHealthy);
  EXPECT_EQ(probe.answer(false, start + seconds(9)), ProbeVerdict::kUndecided);
  EXPECT_EQ(probe.answer(false, start + seconds(11)), ProbeVerdict::kUnhealthy);
}

// A server that answers one connection with `answer`, and closes.
class OneShotServer {
 public:
  explicit OneShotServer(std::string answer) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 1), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, text = std::move(answer)] {
      const int client = ::accept(fd_, nullptr, nullptr);
      char request[1024];
      if (!text.empty() && ::recv(client, request, sizeof request, 0) > 0) {
        EXPECT_EQ(::send(client, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
      }
      ::close(client);
    });
  }
  ~OneShotServer() {
    thread_.join();
    ::close(fd_);
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  int fd_;
  int port_ = 0;
  std::thread thread_;
};

struct Answer {
  bool success = false;
  std::string output;
};

Answer check(const Json& spec) {
  Reactor reactor;
  Answer out;
  std::unique_ptr<ProbeCheck> running;
  reactor.at(std::chrono::steady_clock::now(), [&] {
    running = start_check(reactor, spec,
                          {.ip = "127.0.0.1", .container = Json::object(), .exec = {}, .rewrite = {}},
                          [&](bool success, const std::string& output) {
                            out = {success, output};
                            reactor.stop();
                          });
  });
  reactor.at(std::chrono::steady_clock::now() + seconds(10), [&] { reactor.stop(); });
  reactor.run();
  return out;
}

Json http(int port) { return {{"httpGet", {{"port", port}, {"path", "/healthz"}}}}; }

TEST(ProbeCheck, JudgesHttpByItsStatus) {
  {
    const OneShotServer good("HTTP/1.1 204 No Content\r\n\r\n");
    EXPECT_TRUE(check(http(good.port())).success);
  }
  {
    const OneShotServer bad("HTTP/1.1 503 Unavailable\r\n\r\n");
    const Answer answer = check(http(bad.port()));
    EXPECT_FALSE(answer.success);
    EXPECT_EQ(answer.output, "HTTP probe failed with statuscode: 503");
  }
  const OneShotServer strange("hello\r\n");
  EXPECT_FALSE(check(http(strange.port())).success);
}

TEST(ProbeCheck, ConnectsByTcp) {
  int port = 0;
  {
    const OneShotServer server("");
    port = server.port();
    EXPECT_TRUE(check({{"tcpSocket", {{"port", port}}}}).success);
  }
  EXPECT_FALSE(check({{"tcpSocket", {{"port", port}}}}).success);
}

TEST(ProbeCheck, SaysWhatItCannotDo) { EXPECT_FALSE(check({{"smoke", {{"port", 1}}}}).success); }

TEST(ProbeCheck, SaysThatAServerSpeaksNoTlsOrNoHttp2) {
  const auto over_https = [](int port) { return Json{{"httpGet", {{"port", port}, {"scheme", "HTTPS"}}}}; };
  {
    const OneShotServer plain("HTTP/1.1 400 Bad Request\r\n\r\n");
    const Answer answer = check(over_https(plain.port()));
    EXPECT_FALSE(answer.success);
    EXPECT_EQ(answer.output, "the server does not speak TLS");
  }
  const OneShotServer plain("HTTP/1.1 400 Bad Request\r\n\r\n");
  const Answer answer = check({{"grpc", {{"port", plain.port()}}}});
  EXPECT_FALSE(answer.success);
  EXPECT_NE(answer.output.find("is it a gRPC server?"), std::string::npos) << answer.output;
}

// A real gRPC server with the health service of the library.
TEST(ProbeCheck, AsksARealGrpcServerForItsHealth) {
  grpc::EnableDefaultHealthCheckService(true);
  int port = 0;
  grpc::CallbackGenericService other;  // without any service the library polls nothing
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&other);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  server->GetHealthCheckService()->SetServingStatus("good", true);
  server->GetHealthCheckService()->SetServingStatus("bad", false);
  const auto ask = [port](const std::string& service) {
    return check({{"grpc", {{"port", port}, {"service", service}}}});
  };
  EXPECT_TRUE(ask("").success);
  EXPECT_TRUE(ask("good").success);
  EXPECT_EQ(ask("bad").output, "service unhealthy (responded with \"NOT_SERVING\")");
  const Answer unknown = ask(std::string(300, 'x'));  // long: its length takes two bytes
  EXPECT_FALSE(unknown.success);
  EXPECT_NE(unknown.output.find("knows no service"), std::string::npos) << unknown.output;
  server->Shutdown();
}

std::string frame(char type, char flags, char stream, std::string_view payload) {
  std::string out{0, 0, static_cast<char>(payload.size()), type, flags, 0, 0, 0, stream};
  return out.append(payload);
}

const std::string kServing("\0\0\0\0\2\x08\1", 7);

TEST(GrpcHealth, ReadsAnAnswerThatComesInAnyPieces) {
  // SETTINGS, PING, HEADERS, and the message in two DATA frames, the first one padded by 2.
  const std::string answer =
      frame(4, 0, 0, "") + frame(6, 0, 0, "12345678") + frame(1, 4, 1, "\x88") +
      frame(0, 8, 1, std::string("\2") + kServing.substr(0, 3) + std::string(2, '\0')) +
      frame(0, 1, 1, kServing.substr(3));
  for (std::size_t piece = 1; piece < answer.size(); ++piece) {
    const auto dialogue = grpc_health("127.0.0.1:1", "");
    EXPECT_EQ(dialogue->output().find("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0U);
    for (std::size_t at = 0; at < answer.size(); at += piece) dialogue->input(answer.substr(at, piece));
    ASSERT_TRUE(dialogue->verdict().has_value()) << piece;
    EXPECT_TRUE(dialogue->verdict()->success) << piece;
    EXPECT_EQ(dialogue->output(), frame(4, 1, 0, "") + frame(6, 1, 0, "12345678")) << "both acknowledged";
  }
}

TEST(GrpcHealth, TakesNoNonsenseForHealth) {
  const std::string padded_too_far = frame(0, 8, 1, "\x09" + kServing);
  const std::string compressed = frame(0, 1, 1, "\1" + kServing.substr(1));
  const std::string huge = frame(0, 1, 1, std::string("\0\x7f\0\0\0", 5));
  const std::string other_stream = frame(0, 1, 3, kServing) + frame(0, 1, 1, "");
  const std::string gone = frame(7, 0, 0, std::string(8, '\0'));
  const std::string reset = frame(3, 0, 1, std::string(4, '\0'));
  const std::string other_field = frame(0, 1, 1, std::string("\0\0\0\0\2\x10\1", 7));
  for (const std::string& answer :
       {padded_too_far, compressed, huge, other_stream, gone, reset, other_field, std::string(64, '\xff')}) {
    const auto dialogue = grpc_health("127.0.0.1:1", "");
    dialogue->input(answer);
    dialogue->end();
    ASSERT_TRUE(dialogue->verdict().has_value());
    EXPECT_FALSE(dialogue->verdict()->success);
  }
}

TEST(GrpcHealth, OutlivesRandomBytes) {
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = frame(static_cast<char>(random() % 10), static_cast<char>(random()), 1, "");
    bytes[2] = static_cast<char>(random() % 32);
    for (int i = 0; i < 40; ++i) bytes += static_cast<char>(random() % 3 == 0 ? random() : random() % 9);
    const auto dialogue = grpc_health("a", "b");
    dialogue->input(bytes);
    dialogue->end();
    ASSERT_TRUE(dialogue->verdict().has_value());
  }
}

}  // namespace
}  // namespace muster::local
