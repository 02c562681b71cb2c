// tests/operator/shell/progress_port_test.cc: where progress is told, and to whom a standby passes it on
#include "operator/shell/progress_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>

#include "common/base/host_port.h"
#include "common/platform/http_server.h"
#include "operator/shell/progress_relay.h"

namespace muster::op {
namespace {

TEST(IpPort, IsReadWithAndWithoutBrackets) {
  EXPECT_EQ(parse_ip_port("--x", "127.0.0.1:0")->ip, "127.0.0.1");
  EXPECT_TRUE(parse_ip_port("--x", ":9090")->any());
  EXPECT_EQ(parse_ip_port("--x", ":9090")->port, 9090);
  EXPECT_EQ(parse_ip_port("--x", "[10.0.0.1]:8080")->ip, "10.0.0.1") << "as the chart writes it";
  EXPECT_TRUE(parse_ip_port("--x", "[::]:8080")->any());
  for (const char* bad : {"", "x", "1.2.3.4", "1.2.3.4:", "1.2.3.4:99999", "1.2.3.4:-1", "1.2.3.4:8080x"})
    EXPECT_FALSE(parse_ip_port("--x", bad)) << bad;
}

TEST(ProgressPlace, IsTheAddressUnlessTheUrlSaysAnother) {
  EXPECT_EQ(progress_place("127.0.0.1:0", "")->host, "127.0.0.1");
  EXPECT_EQ(progress_place(":8443", "https://a-b.c.svc:8443")->host, "a-b.c.svc");
  EXPECT_EQ(progress_place(":8443", "https://a.b")->host, "a.b");
  EXPECT_EQ(progress_place(":8443", "https://[fd00::1]:8443")->host, "fd00::1");
  EXPECT_FALSE(progress_place(":8443", "")) << "no pod can call all addresses";
  EXPECT_FALSE(progress_place("[::]:8443", ""));
  for (const char* bad :
       {"http://a:1", "a:1", "https://", "https://:1", "https://a/path", "https://a:x",
        "https://a:", "https://A:1", "https://a,DNS:b:1", "https://[a]:1", "https://[fd00::1", "https://a b"})
    EXPECT_FALSE(progress_place(":8443", bad)) << bad;
}

Issuer make_issuer() {
  const WallTime now = std::chrono::system_clock::now();
  return *Issuer::load(*Issuer::make_secrets(now), now);
}

TEST(ProgressToken, IsTheObjectsAndTheAuthoritys) {
  const Issuer issuer = make_issuer();
  const std::string token = issuer.progress_token("u-1");
  EXPECT_EQ(token, issuer.progress_token("u-1")) << "the same on every replica";
  EXPECT_TRUE(issuer.is_progress_token("u-1", token));
  EXPECT_FALSE(issuer.is_progress_token("u-2", token));
  EXPECT_FALSE(make_issuer().is_progress_token("u-1", token));
  const std::string another = (token.front() == 'x' ? "y" : "x") + token.substr(1);
  for (const std::string& bad : {std::string(), token.substr(1), token + "A", another})
    EXPECT_FALSE(issuer.is_progress_token("u-1", bad)) << bad;
}

// A server that answers 200 with what it was asked for, under a certificate of `issuer`.
std::unique_ptr<HttpServer> make_server(const TlsContext& tls, std::string& heard) {
  HttpServer::Options options{.purpose = "a test"};
  options.body_bytes_max = 1024;
  options.stream = [tls](FileDescriptor connection) { return tls.stream(std::move(connection)); };
  options.handler = [&heard](const HttpRequest& request, const HttpServer::Reply& reply) {
    heard = std::string(request.header("authorization"));
    reply({.body = request.method + " " + request.target + " " + request.body + " " +
                   std::string(request.header(ProgressRelay::kHeader))});
  };
  auto server = HttpServer::start(std::move(options));
  EXPECT_TRUE(server) << server.error().message;
  return *std::move(server);
}

class RelayTest : public ::testing::Test {
 protected:
  Result<HttpAnswer> pass_on(const std::string& address) {
    std::mutex mutex;
    std::condition_variable answered;
    std::optional<Result<HttpAnswer>> answer;
    relay_.pass_on(
        address, *client_,
        {.method = "POST", .target = "/x", .headers = {{"authorization", "Bearer t"}}, .body = "{}"},
        [&](Result<HttpAnswer> told) {
          const std::lock_guard lock(mutex);
          answer = std::move(told);
          answered.notify_all();
        });
    std::unique_lock lock(mutex);
    answered.wait(lock, [&] { return answer.has_value(); });
    return *answer;
  }
  TlsContext served_by(const KeyPair& pair) { return *TlsContext::server(pair); }

  const WallTime now_ = std::chrono::system_clock::now();
  const Issuer issuer_ = make_issuer();
  const Result<TlsContext> client_ =
      TlsContext::client(issuer_.authority_certificate(), "operator.muster.dev");
  std::string heard_;
  ProgressRelay relay_;
};

TEST_F(RelayTest, TheLeaderIsKnownByItsCertificateWhateverItsAddress) {
  const auto server = make_server(served_by(*issuer_.progress_server("somewhere.svc", now_)), heard_);
  const auto answer = pass_on(host_port("127.0.0.1", server->port()));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "POST /x {} 1");
  EXPECT_EQ(heard_, "Bearer t");
}

TEST_F(RelayTest, NobodyElseHearsTheToken) {
  const Issuer other = make_issuer();
  const auto keys = *issuer_.keys_of("uid", "worker", 0, 1, now_);  // a pod's, of the same authority
  for (const KeyPair& pair :
       {*other.progress_server("127.0.0.1", now_), KeyPair{keys.at("0.key"), keys.at("0.crt")}}) {
    const auto server = make_server(served_by(pair), heard_);
    const auto answer = pass_on(host_port("127.0.0.1", server->port()));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().message, "who answers there is not this authority's operator");
    EXPECT_EQ(heard_, "");
  }
}

TEST_F(RelayTest, AnAddressThatIsNoneOrLeadsNowhereIsTold) {
  for (const char* address : {"", "x", "localhost:1", "127.0.0.1", "127.0.0.1:1"})
    EXPECT_FALSE(pass_on(address)) << address;
}

TEST_F(RelayTest, WhoSaysNothingIsWaitedForUntilTheDeadline) {
  const FileDescriptor silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in any{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t length = sizeof any;
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  ASSERT_EQ(listen(silent.get(), 8), 0);
  getsockname(silent.get(), reinterpret_cast<sockaddr*>(&any), &length);
  const auto answer = pass_on(host_port("127.0.0.1", ntohs(any.sin_port)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace muster::op
