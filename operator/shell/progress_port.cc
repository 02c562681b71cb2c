// operator/shell/progress_port.cc: the server, its keys, and who decides
#include "operator/shell/progress_port.h"

#include <fmt/format.h>
#include <prometheus/counter.h>

#include <algorithm>
#include <optional>

#include "common/base/host_port.h"
#include "common/crypto/tls.h"
#include "common/platform/http_server.h"
#include "common/platform/metric_families.h"
#include "common/platform/socket_address.h"
#include "operator/shell/progress_relay.h"

namespace muster::op {
namespace {

constexpr std::size_t kConnectionsMax = 256;
constexpr std::chrono::seconds kRequestTime{5};  // as long as programs wait
constexpr const char* kRetryAfterSeconds = "5";  // as often as they tell

struct Keys {
  Issuer issuer;
  TlsContext server, client;
};

class Port final : public ProgressPort {
 public:
  Port(Options options, prometheus::Registry& registry)
      : options_(std::move(options)),
        reports_(counter_family(registry, "muster_progress_reports_total")),
        refused_(counter_family(registry, "muster_progress_refused_total")) {
    // From the start: a counter that begins with its first event hides that event from rate().
    for (const char* outcome : {"taken", "relayed"}) reports_.Add({{"outcome", outcome}});
    for (const std::string_view reason : kHttpRefusals) refused_.Add({{"reason", std::string(reason)}});
    for (const std::string_view reason : kReportRefusals) refused_.Add({{"reason", std::string(reason)}});
  }

  Status serve() {
    HttpServer::Options server{.ip = options_.ip, .port = options_.port, .purpose = "progress"};
    server.connections_max = kConnectionsMax;
    server.body_bytes_max = kReportBytesMax;
    server.request_time = kRequestTime;
    server.stream = [this](FileDescriptor connection) -> std::unique_ptr<SocketStream> {
      const auto keys = this->keys();
      return keys == nullptr ? nullptr : keys->server.stream(std::move(connection));
    };
    server.refused = [this](std::string_view reason) { count_refusal(reason); };
    server.handler = [this](HttpRequest request, HttpServer::Reply reply) {
      handle(std::move(request), std::move(reply));
    };
    MUSTER_ASSIGN(server_, HttpServer::start(std::move(server)));
    return {};
  }

  [[nodiscard]] int port() const override { return server_->port(); }

  Status use(const Issuer& issuer) override {
    MUSTER_ASSIGN(const KeyPair pair,
                  issuer.progress_server(options_.host, std::chrono::system_clock::now()));
    MUSTER_ASSIGN(TlsContext server, TlsContext::server(pair));
    MUSTER_ASSIGN(TlsContext client,
                  TlsContext::client(issuer.authority_certificate(), dns_name(operator_name())));
    auto keys = std::make_shared<const Keys>(Keys{issuer, std::move(server), std::move(client)});
    const MutexLock lock(mutex_);
    keys_ = std::move(keys);
    return {};
  }

  void lead(Take take) override {
    const MutexLock lock(taking_);
    take_ = std::move(take);
  }

 private:
  [[nodiscard]] std::shared_ptr<const Keys> keys() const {
    const MutexLock lock(mutex_);
    return keys_;
  }

  void handle(HttpRequest request, HttpServer::Reply reply) {
    const auto keys = this->keys();
    const Sender sender = check_sender(request.method, request.target, request.header("authorization"),
                                       [&](const std::string& uid, std::string_view token) {
                                         return keys->issuer.is_progress_token(uid, token);
                                       });
    if (!sender.target) return answer(reply, sender.refused);
    if (const auto taken = take(*sender.target, request.body)) return answer(reply, *taken);
    if (!request.header(ProgressRelay::kHeader).empty())
      return answer(reply, refuse_report("leader", 503, "this replica of the operator does not lead"));
    std::string leader = options_.leader ? options_.leader() : "";
    if (leader.empty())
      return answer(reply, refuse_report("leader", 503, "no replica of the operator leads now"));
    relay_.pass_on(std::move(leader), keys->client, std::move(request),
                   [this, reply = std::move(reply)](Result<HttpAnswer> relayed) {
                     if (!relayed) {
                       return answer(reply, refuse_report("leader", 503,
                                                          "the replica of the operator that leads: " +
                                                              relayed.error().message));
                     }
                     count_report("relayed");
                     if (relayed->code == 503)
                       relayed->headers.emplace_back("Retry-After", kRetryAfterSeconds);
                     reply(*std::move(relayed));
                   });
  }

  // nullopt: this replica does not lead.
  std::optional<ReportAnswer> take(const ReportTarget& target, std::string_view body) {
    const MutexLock lock(taking_);
    if (!take_) return std::nullopt;
    return take_(target, body);
  }

  void answer(const HttpServer::Reply& reply, const ReportAnswer& answer) {
    if (answer.refusal.empty()) {
      count_report("taken");
    } else {
      count_refusal(answer.refusal);
    }
    HttpAnswer http{.code = answer.code, .type = "application/json", .body = answer.body};
    if (answer.code == 503) http.headers.emplace_back("Retry-After", kRetryAfterSeconds);
    reply(std::move(http));
  }

  void count_report(const char* outcome) { reports_.Add({{"outcome", outcome}}).Increment(); }
  void count_refusal(std::string_view reason) { refused_.Add({{"reason", std::string(reason)}}).Increment(); }

  const Options options_;
  prometheus::Family<prometheus::Counter>& reports_;
  prometheus::Family<prometheus::Counter>& refused_;
  mutable Mutex mutex_;
  std::shared_ptr<const Keys> keys_ MUSTER_GUARDED_BY(mutex_);  // null: none yet
  Mutex taking_;
  Take take_ MUSTER_GUARDED_BY(taking_);
  ProgressRelay relay_;
  std::unique_ptr<HttpServer> server_;  // last: it calls the others
};

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

Result<std::string> host_of(const std::string& url) {
  const Error none = invalid_argument(fmt::format(
      "--progress-url {} is not https://host:port, with an IP address or a name in small letters; "
      "write for example https://muster-operator-progress.muster-system.svc:8443",
      url));
  std::string_view rest = url;
  if (!rest.starts_with("https://")) return none;
  rest.remove_prefix(8);
  std::string host(rest.substr(0, rest.rfind(':')));
  std::string_view port = rest.substr(host.size());
  if (rest.starts_with('[')) {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return none;
    host = rest.substr(1, end - 1);
    port = rest.substr(end + 1);
  }
  const bool digits = port.empty() || (port.size() > 1 && port.size() <= 6 && port.front() == ':' &&
                                       port.find_first_not_of("0123456789", 1) == std::string_view::npos);
  const bool v6 = host.find(':') != std::string::npos && SocketAddress::of(host, 0).has_value();
  if (!digits || (rest.starts_with('[') ? !v6 : !is_host(host))) return none;
  return host;
}

}  // namespace

Result<ProgressPlace> progress_place(const std::string& address, const std::string& url) {
  ProgressPlace place;
  MUSTER_ASSIGN(place.listen, parse_ip_port("--progress-address", address));
  place.host = place.listen.ip;
  if (!url.empty()) {
    MUSTER_ASSIGN(place.host, host_of(url));
  } else if (place.listen.any()) {
    return invalid_argument(
        fmt::format("--progress-address {}: no pod can call that; say by which name or address they can with "
                    "--progress-url",
                    address));
  }
  return place;
}

Result<std::unique_ptr<ProgressPort>> ProgressPort::open(Options options, prometheus::Registry& registry) {
  auto port = std::make_unique<Port>(std::move(options), registry);
  MUSTER_TRY(port->serve());
  return std::unique_ptr<ProgressPort>(std::move(port));
}

}  // namespace muster::op
