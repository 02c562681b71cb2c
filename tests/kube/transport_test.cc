// tests/kube/transport_test.cc: the cpprestsdk transport against a server that misbehaves
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <future>

#include "common/platform/file_descriptor.h"
#include "kube/client.h"
#include "kube/cpprest_transport.h"
#include "kube/identity.h"
#include "tests/kube/http_test_server.h"
#include "tests/support/temporary_folder.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Connection = HttpTestServer::Connection;

ClusterConfig config_for(const HttpTestServer& server) {
  ClusterConfig config;
  config.server = server.url();
  config.source = "test";
  return config;
}
std::shared_ptr<HttpTransport> transport_to(const ClusterConfig& config) {
  auto transport = make_cpprest_transport(config);
  EXPECT_TRUE(transport);
  return *transport;
}
HttpRequest get(const std::string& target) {
  return {.method = "GET", .target = target, .headers = {}, .body = {}};
}
Deadline soon(milliseconds span = seconds(10)) { return deadline_after(span); }
const auto kTakeAll = [](std::string_view) { return true; };
void answer_all(Connection& connection) {
  while (!connection.read_request().empty()) {
    if (!connection.respond(200, "{}")) return;
  }
}
std::string chunk(const std::string& bytes) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}
const std::string kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(Transport, SendsMethodPathPrefixHeadersAndBody) {
  std::promise<std::string> seen;
  HttpTestServer server([&](Connection& connection) {
    seen.set_value(connection.read_request());
    connection.respond(201, "made", "X-Kind: y\r\n");
  });
  auto config = config_for(server);
  config.server += "/prefix";
  HttpRequest request{
      .method = "PATCH",
      .target = "/a/b%2Fc?x=1%202",
      .headers = {{"Content-Type", "application/merge-patch+json"}, {"User-Agent", "muster/1"}},
      .body = "{\"k\":1}"};
  const auto answer = transport_to(config)->send(request, soon());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "made");
  EXPECT_EQ(header(answer->headers, "x-kind"), "y");
  const std::string text = seen.get_future().get();
  EXPECT_TRUE(text.starts_with("PATCH /prefix/a/b%2Fc?x=1%202 HTTP/1.1\r\n")) << text;
  EXPECT_NE(text.find("Content-Type:application/merge-patch+json\r\n"), std::string::npos) << text;
  EXPECT_NE(text.find("User-Agent:muster/1\r\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\n{\"k\":1}")) << text;
}

TEST(Transport, KeepsConnectionsForTheNextRequest) {
  HttpTestServer server(answer_all);
  const auto transport = transport_to(config_for(server));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(transport->send(get("/"), soon()));
  EXPECT_LE(server.connections(), 3);  // one that is still on its way back to the pool is not waited for
}

TEST(Transport, ARefusedConnectionNamesTheServer) {
  std::string url;
  {
    HttpTestServer server(answer_all);
    url = server.url();
  }
  ClusterConfig config;
  config.server = url;
  const auto answer = transport_to(config)->send(get("/"), soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
  EXPECT_NE(answer.error().message.find(url), std::string::npos);
}

TEST(Transport, TheDeadlineCoversASlowDrip) {
  HttpTestServer server([](Connection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    while (connection.write(chunk("x"))) std::this_thread::sleep_for(milliseconds(20));
  });
  const auto before = std::chrono::steady_clock::now();
  const auto answer = transport_to(config_for(server))->send(get("/"), soon(milliseconds(300)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kDeadlineExceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
}

TEST(Transport, AnAnswerCutInTheMiddleIsAnError) {
  HttpTestServer server([](Connection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  });
  const auto answer = transport_to(config_for(server))->send(get("/"), soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
}

TEST(Transport, StreamsBytesAsTheyAreWritten) {
  std::promise<void> first_seen;
  HttpTestServer server([&](Connection& connection) {
    connection.read_request();
    connection.write(kChunkedHead + chunk("one\n"));
    first_seen.get_future().wait_for(seconds(10));  // the second is written only after the first has arrived
    connection.write(chunk("two\n") + "0\r\n\r\n");
  });
  std::string text;
  const auto answer = transport_to(config_for(server))->stream(get("/"), {}, [&](std::string_view bytes) {
    if (text.empty()) first_seen.set_value();
    text += bytes;
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(text, "one\ntwo\n");
}

TEST(Transport, TheBodyOfARefusedStreamIsReturnedWhole) {
  HttpTestServer server([](Connection& connection) {
    connection.read_request();
    connection.respond(410, "gone");
  });
  bool called = false;
  const auto answer =
      transport_to(config_for(server))->stream(get("/"), {}, [&](std::string_view) { return called = true; });
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 410);
  EXPECT_EQ(answer->body, "gone");
  EXPECT_FALSE(called);
}

TEST(Transport, ASilentStreamIsDeadAfterItsIdleTime) {
  std::promise<bool> closed;
  HttpTestServer server([&](Connection& connection) {
    connection.read_request();
    connection.write(kChunkedHead + chunk("x"));
    closed.set_value(connection.wait_closed());
  });
  StreamOptions options;
  options.idle_timeout = milliseconds(200);
  const auto answer = transport_to(config_for(server))->stream(get("/"), options, kTakeAll);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(closed.get_future().get());
}

TEST(Transport, AStopTokenEndsAStreamAndClosesItsConnection) {
  std::promise<bool> closed;
  std::promise<void> open;
  HttpTestServer server([&](Connection& connection) {
    connection.read_request();
    connection.write(kChunkedHead + chunk("x"));
    open.set_value();
    closed.set_value(connection.wait_closed());
  });
  const auto transport = transport_to(config_for(server));
  std::stop_source stop;
  auto ended = std::async(std::launch::async, [&] {
    StreamOptions options;
    options.stop = stop.get_token();
    return transport->stream(get("/"), options, kTakeAll);
  });
  open.get_future().wait();
  stop.request_stop();
  const auto answer = ended.get();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kCancelled);
  EXPECT_TRUE(closed.get_future().get());
}

TEST(Transport, AConsumerThatLeavesClosesTheConnectionInsteadOfPoolingIt) {
  std::promise<bool> closed;
  HttpTestServer server([&](Connection& connection) {
    if (connection.read_request().find("/watch") == std::string::npos) {
      connection.respond(200, "fresh");
      return;
    }
    connection.write(kChunkedHead + chunk("x"));
    closed.set_value(connection.wait_closed());
  });
  const auto transport = transport_to(config_for(server));
  ASSERT_TRUE(transport->stream(get("/watch"), {}, [](std::string_view) { return false; }));
  EXPECT_TRUE(closed.get_future().get());
  const auto answer = transport->send(get("/other"), soon());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "fresh");
}

TEST(Transport, ManyWatchesLeaveRoomForRequests) {
  HttpTestServer server([](Connection& connection) {
    for (std::string request = connection.read_request(); !request.empty();
         request = connection.read_request()) {
      if (request.find("/watch") != std::string::npos) {
        connection.write(kChunkedHead + chunk("x"));
        connection.wait_closed();
        return;
      }
      connection.respond(200, "{}");
    }
  });
  const auto transport = transport_to(config_for(server));
  std::stop_source stop;
  std::vector<std::jthread> watches;
  watches.reserve(12);
  std::atomic<int> open{0};
  for (int i = 0; i < 12; ++i) {
    watches.emplace_back([&] {
      StreamOptions options;
      options.stop = stop.get_token();
      static_cast<void>(
          transport->stream(get("/watch"), options, [&](std::string_view) { return ++open > 0; }));
    });
  }
  const Deadline limit = soon();
  while (open < 12 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_EQ(open, 12);
  EXPECT_TRUE(transport->send(get("/"), soon()));
  stop.request_stop();
}

TEST(TransportTls, VerifiesAgainstTheIpAddressAndSendsNoServerNameForIt) {
  const auto certificate = make_certificate("127.0.0.1");
  std::promise<std::string> name;
  HttpTestServer server(
      [&](Connection& connection) {
        name.set_value(connection.server_name());
        answer_all(connection);
      },
      &certificate);
  auto config = config_for(server);
  config.ca_pem = certificate.certificate_pem;
  const auto answer = transport_to(config)->send(get("/"), soon());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(name.get_future().get(), "");
}

TEST(TransportTls, RefusesAnotherAuthorityAndAnotherName) {
  const auto certificate = make_certificate("127.0.0.1");
  const auto elsewhere = make_certificate("10.0.0.1");
  HttpTestServer server(answer_all, &certificate);
  auto config = config_for(server);
  config.ca_pem = elsewhere.certificate_pem;
  auto answer = transport_to(config)->send(get("/"), soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnauthenticated) << answer.error().message;

  HttpTestServer other(answer_all, &elsewhere);
  config = config_for(other);
  config.ca_pem = elsewhere.certificate_pem;
  answer = transport_to(config)->send(get("/"), soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnauthenticated) << answer.error().message;
  config.ca_pem.clear();
  config.insecure_skip_tls_verify = true;
  EXPECT_TRUE(transport_to(config)->send(get("/"), soon()));
}

// Reading them takes longer than all else that a connection takes.
TEST(TransportTls, ReadsTheSystemsAuthoritiesOnlyForAClusterThatNamesNone) {
  const auto certificate = make_certificate("127.0.0.1");
  HttpTestServer server(answer_all, &certificate);
  const TemporaryFolder folder;
  const std::string bundle = folder.path() / "authorities.pem";
  std::ofstream(bundle) << certificate.certificate_pem;
  setenv("SSL_CERT_FILE", bundle.c_str(), 1);
  const FileDescriptor watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(watch.get(), bundle.c_str(), IN_OPEN), 0);
  const auto opened = [&] {
    std::array<char, 4096> events{};
    return read(watch.get(), events.data(), events.size()) > 0;
  };
  auto config = config_for(server);
  config.ca_pem = certificate.certificate_pem;
  EXPECT_TRUE(transport_to(config)->send(get("/"), soon()));
  EXPECT_FALSE(opened());
  config.ca_pem.clear();
  const auto answer = transport_to(config)->send(get("/"), soon());
  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(opened());
  unsetenv("SSL_CERT_FILE");
}

TEST(TransportTls, TlsServerNameReplacesTheHost) {
  const auto certificate = make_certificate("", "api.example");
  std::promise<std::string> name;
  HttpTestServer server(
      [&](Connection& connection) {
        name.set_value(connection.server_name());
        answer_all(connection);
      },
      &certificate);
  auto config = config_for(server);
  config.ca_pem = certificate.certificate_pem;
  config.tls_server_name = "api.example";
  const auto answer = transport_to(config)->send(get("/"), soon());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(name.get_future().get(), "api.example");
}

TEST(TransportTls, ShowsTheClientsCertificate) {
  const auto server_certificate = make_certificate("127.0.0.1");
  const auto client_certificate = make_certificate("127.0.0.2");
  std::promise<std::string> subject;
  HttpTestServer server(
      [&](Connection& connection) {
        subject.set_value(connection.peer_subject());
        answer_all(connection);
      },
      &server_certificate, client_certificate.certificate_pem);
  auto config = config_for(server);
  config.ca_pem = server_certificate.certificate_pem;
  config.identity = static_identity({.client_certificate_pem = client_certificate.certificate_pem,
                                     .client_key_pem = client_certificate.key_pem});
  const auto answer = transport_to(config)->send(get("/"), soon());
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(subject.get_future().get(), "/CN=muster-test");
}

TEST(TransportTls, BadMaterialIsRefusedWithASentence) {
  ClusterConfig config;
  config.server = "https://127.0.0.1:1";
  config.ca_pem = "nonsense";
  const auto made = make_cpprest_transport(config);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kInvalidArgument);
}

std::promise<void> ending;

// A thread of the pool may free a connection while the handlers of exit run: OpenSSL must still be there, or
// the thread waits for ever for a lock that is gone, and the process for the thread.
[[noreturn]] void exit_while_the_pool_works_with_openssl() {
  ClusterConfig config;
  config.server = "https://127.0.0.1:1";
  if (!make_cpprest_transport(config)) ::_exit(2);
  std::atexit(
      [] { ending.set_value(); });  // OpenSSL's handler would be registered after it, and run before it
  SSL_CTX_free(SSL_CTX_new(TLS_client_method()));
  crossplat::threadpool::shared_instance().service().post([] {
    ending.get_future().wait();
    if (SSL_CTX_new(TLS_client_method()) == nullptr) ::_exit(1);
  });
  std::exit(0);
}

TEST(TransportDeathTest, OpenSslOutlivesTheThreadsOfThePool) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, in which nothing has used OpenSSL
  EXPECT_EXIT(exit_while_the_pool_works_with_openssl(), testing::ExitedWithCode(0), "");
}

TEST(Transport, AnIpv6AddressIsRefusedWithARemedy) {
  ClusterConfig config;
  config.server = "https://[::1]:6443";
  const auto made = make_cpprest_transport(config);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("give the address a name"), std::string::npos) << made.error().message;
}

}  // namespace
}  // namespace muster::kube
