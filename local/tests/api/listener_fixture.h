#pragma once  // local/tests/api/listener_fixture.h: an API behind a listener of its own, for tests on real
              // sockets
#include <csignal>
#include <functional>
#include <thread>

#include "local/api/http_listener.h"
#include "local/tests/api/harness.h"
#include "local/tests/support/https_client.h"

namespace muster::local {

class ListenerTest : public ::testing::Test {
 protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }
  void TearDown() override {
    api_.http.close();
    if (listener_) listener_->close();
  }
  void listen(ConnectionLimits limits = {}) { listen(api_.http, limits); }
  void listen(HttpApi& api, ConnectionLimits limits = {}) {
    const auto certificate = make_certificate("127.0.0.1");
    ASSERT_TRUE(certificate);
    auto opened = HttpListener::open(api, "127.0.0.1", 0, *certificate, limits);
    ASSERT_TRUE(opened) << opened.error().message;
    listener_ = std::move(*opened);
    target_ = {"127.0.0.1", listener_->port(), certificate->certificate_pem, "secret"};
  }
  // Waits for what the server does by itself.
  static bool comes(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  Api api_{HttpApi::Options{"secret", {}}};
  std::unique_ptr<HttpListener> listener_;
  testing::HttpsTarget target_;
};

}  // namespace muster::local
