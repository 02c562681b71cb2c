#pragma once  // tests/kube/http_test_server.h: a tiny HTTP(S) server on a free loopback port, one script a
              // connection
#include <openssl/ssl.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace muster::kube {

struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};
// Self-signed, so its own authority; for this IP address or DNS name.
[[nodiscard]] TestCertificate make_certificate(const std::string& ip, const std::string& dns = "");

class HttpTestServer {
 public:
  class Connection {
   public:
    Connection(int socket, SSL* tls) : socket_(socket), tls_(tls) {}
    // Head and body of the next request; "" when the client has gone.
    std::string read_request();
    bool write(std::string_view bytes);
    bool respond(int status, const std::string& body, const std::string& headers = "");
    // Waits until the client closes its end; false after 10 s.
    bool wait_closed();
    [[nodiscard]] std::string server_name() const;   // SNI, "" without
    [[nodiscard]] std::string peer_subject() const;  // of the client's certificate, "" without

   private:
    int socket_;
    SSL* tls_;
    std::string pending_;
  };
  using Script = std::function<void(Connection&)>;

  // Runs `script` for each connection, in a thread of its own.
  explicit HttpTestServer(Script script, const TestCertificate* certificate = nullptr,
                          const std::string& client_ca_pem = "");
  ~HttpTestServer();
  [[nodiscard]] std::string url() const;
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept_all();
  void serve(int socket);

  Script script_;
  SSL_CTX* tls_ = nullptr;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::jthread> threads_;
  std::jthread acceptor_;
};

}  // namespace muster::kube
