// common/platform/metrics.cc: /metrics, /healthz and /readyz on civetweb (the server prometheus-cpp's exposer
// uses)
#include "common/platform/metrics.h"

#include <civetweb.h>
#include <fmt/format.h>
#include <prometheus/text_serializer.h>

#include <array>

namespace muster {
namespace {

class CivetServer final : public MetricsServer {
 public:
  CivetServer(std::shared_ptr<prometheus::Registry> registry, Options options)
      : registry_(std::move(registry)), options_(std::move(options)) {}
  ~CivetServer() override {
    if (context_ != nullptr) mg_stop(context_);
  }

  Status listen() {
    const std::string address = fmt::format("{}:{}", options_.ip, options_.port);
    const std::array<const char*, 9> settings{"listening_ports",
                                              address.c_str(),
                                              "num_threads",
                                              "2",
                                              "request_timeout_ms",
                                              "10000",
                                              "enable_directory_listing",
                                              "no",
                                              nullptr};
    mg_callbacks callbacks{};
    callbacks.log_message = [](const mg_connection*, const char*) { return 1; };  // our own error is better
    context_ = mg_start(&callbacks, nullptr, const_cast<const char**>(settings.data()));
    if (context_ == nullptr) {
      return already_exists(
          fmt::format("cannot listen on {} for /metrics: the port is in use or the address is not this "
                      "machine's; end the "
                      "other program or choose another port",
                      address));
    }
    mg_server_port port{};
    mg_get_server_ports(context_, 1, &port);
    port_ = port.port;
    mg_set_request_handler(context_, "/metrics", &CivetServer::metrics, this);
    mg_set_request_handler(context_, "/healthz", &CivetServer::healthz, this);
    mg_set_request_handler(context_, "/readyz", &CivetServer::readyz, this);
    return {};
  }

  [[nodiscard]] int port() const override { return port_; }

 private:
  static int answer(mg_connection* connection, int code, const char* type, const std::string& body) {
    mg_printf(connection,
              "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", code,
              code == 200 ? "OK" : "Service Unavailable", type, body.size());
    mg_write(connection, body.data(), body.size());
    return code;
  }
  static int metrics(mg_connection* connection, void* self) {
    const prometheus::TextSerializer serializer;
    return answer(connection, 200, "text/plain; version=0.0.4; charset=utf-8",
                  serializer.Serialize(static_cast<CivetServer*>(self)->registry_->Collect()));
  }
  static int state(mg_connection* connection, const Status& status) {
    return status ? answer(connection, 200, "text/plain", "ok\n")
                  : answer(connection, 503, "text/plain", status.error().message + "\n");
  }
  static int healthz(mg_connection* connection, void* self) {
    return state(connection, static_cast<CivetServer*>(self)->options_.healthy());
  }
  static int readyz(mg_connection* connection, void* self) {
    return state(connection, static_cast<CivetServer*>(self)->options_.ready());
  }

  std::shared_ptr<prometheus::Registry> registry_;
  Options options_;
  mg_context* context_ = nullptr;
  int port_ = 0;
};

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(std::shared_ptr<prometheus::Registry> registry,
                                                            Options options) {
  auto server = std::make_unique<CivetServer>(std::move(registry), std::move(options));
  MUSTER_TRY(server->listen());
  return std::unique_ptr<MetricsServer>(std::move(server));
}

}  // namespace muster
