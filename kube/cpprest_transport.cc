// kube/cpprest_transport.cc: HttpTransport on cpprestsdk, with the deadlines and cancellations that it lacks
#include "kube/cpprest_transport.h"

#include <cpprest/http_client.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pplx/threadpool.h>

#include <arpa/inet.h>

#include <array>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <vector>

#include "common/platform/mutex.h"
#include "kube/client.h"
#include "kube/sink_buffer.h"

// In place of OpenSSL's, for the whole program. The library calls it for each connection before our callback
// can say whom to trust: where Debian's ca-certificates are installed, that is 40 ms of CPU and 2 MiB for
// authorities that a cluster's own then replace. With this one nobody is trusted until set_up_tls says whom.
// NOLINTNEXTLINE(readability-identifier-naming): OpenSSL's name
extern "C" int SSL_CTX_set_default_verify_paths(SSL_CTX* /*context*/) { return 1; }

namespace muster::kube {
namespace {

namespace http = web::http;

constexpr int kDefaultThreads = 4;
constexpr std::chrono::seconds kUnaryIdleTimeout{60};  // below it our own deadline acts
constexpr std::chrono::hours kWatchIdleTimeout{
    24 * 30};                                   // our own watchdog acts; the library's 30 s would cut watches
constexpr std::chrono::seconds kCancelWait{5};  // for the library to let go of a cancelled request

std::once_flag threads_once;

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Certificate = std::unique_ptr<X509, FreeX509>;
using Bio = std::unique_ptr<BIO, FreeBio>;

Bio bio_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::vector<Certificate> read_certificates(const std::string& pem) {
  std::vector<Certificate> certificates;
  const Bio bio = bio_of(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  return certificates;
}

// Trusts `ca_pem` alone, without one the system's authorities, and shows the client's certificate. Throws:
// boost::asio wants that of its callback.
void set_up_tls(SSL_CTX* context, const std::string& ca_pem, const Identity& identity) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (ca_pem.empty()) {
    X509_STORE_set_default_paths(SSL_CTX_get_cert_store(context));  // none there: no server is believed
    ERR_clear_error();
  } else {
    X509_STORE* store = X509_STORE_new();
    for (const Certificate& certificate : read_certificates(ca_pem))
      X509_STORE_add_cert(store, certificate.get());
    SSL_CTX_set_cert_store(context, store);  // takes the store
  }
  if (identity.client_certificate_pem.empty()) return;
  const auto chain = read_certificates(identity.client_certificate_pem);
  const Bio key_bio = bio_of(identity.client_key_pem);
  const std::unique_ptr<EVP_PKEY, FreeKey> key(
      PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (chain.empty() || key == nullptr || SSL_CTX_use_certificate(context, chain.front().get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    throw http::http_exception("the client certificate and key are not a pair of PEM texts");
  }
  for (std::size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(context, chain[i].get());
}

bool is_ip(const std::string& host) {
  in6_addr bytes{};
  const std::string bare = host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
  return inet_pton(AF_INET, bare.c_str(), &bytes) == 1 || inet_pton(AF_INET6, bare.c_str(), &bytes) == 1;
}

// One request under way: what the waiting caller and the library's threads share.
struct Exchange {
  Mutex mutex;
  Condition changed;
  bool head MUSTER_GUARDED_BY(mutex) = false;
  bool over MUSTER_GUARDED_BY(mutex) = false;
  // The caller has left: nothing may be delivered any more.
  bool detached MUSTER_GUARDED_BY(mutex) = false;
  bool ended_by_consumer MUSTER_GUARDED_BY(mutex) = false;
  bool too_large MUSTER_GUARDED_BY(mutex) = false;
  HttpResponse response MUSTER_GUARDED_BY(mutex);
  std::string error MUSTER_GUARDED_BY(mutex);
  std::function<bool(std::string_view)> on_bytes;  // set once; empty: the body is gathered in `response`
  Instant last_byte MUSTER_GUARDED_BY(mutex) = std::chrono::steady_clock::now();
  pplx::cancellation_token_source cancel;

 private:
  bool take(std::string_view bytes) MUSTER_REQUIRES(mutex) {
    if (head && on_bytes && response.status < 300) {
      ended_by_consumer = ended_by_consumer || !on_bytes(bytes);
    } else if (response.body.size() + bytes.size() > kResponseBytesMax) {
      too_large = true;
    } else {
      response.body += bytes;
    }
    if (ended_by_consumer || too_large) changed.notify_all();
    return !ended_by_consumer && !too_large;
  }

 public:
  // On a thread of the library. False: stop reading. The first bytes may come before the waiter has seen the
  // head, which decides where they go: they are kept until then, for blocking here could use up the library's
  // few threads.
  bool deliver(std::string_view bytes) {
    const MutexLock lock(mutex);
    if (detached) return false;
    last_byte = std::chrono::steady_clock::now();
    return take(bytes);
  }
  void on_head(const http::http_response& answer) {
    const MutexLock lock(mutex);
    response.status = answer.status_code();
    for (const auto& [name, value] : answer.headers()) response.headers.emplace_back(name, value);
    head = true;
    last_byte = std::chrono::steady_clock::now();
    if (!detached && on_bytes && response.status < 300 && !response.body.empty()) {
      static_cast<void>(take(std::exchange(response.body, {})));
    }
    changed.notify_all();
  }
  void finish(std::string what) {
    const MutexLock lock(mutex);
    over = true;
    error = std::move(what);
    changed.notify_all();
  }
};

class CpprestTransport final : public HttpTransport {
 public:
  explicit CpprestTransport(const ClusterConfig& config) : config_(config), uri_(config.server) {
    prefix_ = uri_.path() == "/" ? "" : uri_.path();
  }

  Result<HttpResponse> send(const HttpRequest& request, Deadline deadline) override {
    return run(request, false, {}, {}, deadline, std::chrono::milliseconds::max());
  }
  Result<HttpResponse> stream(const HttpRequest& request, const StreamOptions& options,
                              const std::function<bool(std::string_view)>& on_bytes) override {
    return run(request, true, options.stop, on_bytes, Deadline::max(), options.idle_timeout);
  }

 private:
  Result<HttpResponse> run(const HttpRequest& request, bool streaming, const std::stop_token& stop,
                           const std::function<bool(std::string_view)>& on_bytes, Deadline deadline,
                           std::chrono::milliseconds idle);
  Result<std::shared_ptr<http::client::http_client>> client(bool streaming);
  [[nodiscard]] http::client::http_client_config client_config(bool streaming,
                                                               const Identity& identity) const;
  void begin(http::client::http_client& client, const HttpRequest& request,
             const std::shared_ptr<Exchange>& exchange);
  [[nodiscard]] std::string ca_now() const;
  [[nodiscard]] Error translate(const std::string& what) const;

  const ClusterConfig config_;
  const web::uri uri_;
  std::string prefix_;
  Mutex mutex_;
  // Unary, streaming: their idle timers differ.
  std::array<std::shared_ptr<http::client::http_client>, 2> clients_ MUSTER_GUARDED_BY(mutex_);
  std::array<Identity, 2> made_for_ MUSTER_GUARDED_BY(mutex_);
};

// The CA file may be exchanged while we run; new connections take the new one.
std::string CpprestTransport::ca_now() const {
  if (config_.ca_file.empty()) return config_.ca_pem;
  std::ifstream file(config_.ca_file);
  std::ostringstream text;
  text << file.rdbuf();
  return file && !read_certificates(text.str()).empty() ? text.str() : config_.ca_pem;
}

http::client::http_client_config CpprestTransport::client_config(bool streaming,
                                                                 const Identity& identity) const {
  http::client::http_client_config config;
  if (streaming) {
    config.set_timeout(std::chrono::duration_cast<std::chrono::seconds>(kWatchIdleTimeout));
  } else {
    config.set_timeout(kUnaryIdleTimeout);
  }
  config.set_validate_certificates(!config_.insecure_skip_tls_verify);
  const std::string name = config_.tls_server_name.empty() ? uri_.host() : config_.tls_server_name;
  config.set_tlsext_sni_enabled(!is_ip(name));
  config.set_ssl_context_callback([this, identity](boost::asio::ssl::context& context) {
    set_up_tls(context.native_handle(), ca_now(), identity);
  });
  return config;
}

// A client whose connections show the present certificate; a new certificate gets new connections.
Result<std::shared_ptr<http::client::http_client>> CpprestTransport::client(bool streaming) {
  Identity identity;
  if (config_.identity) {
    MUSTER_ASSIGN(identity, config_.identity->get());
  }
  const MutexLock lock(mutex_);
  auto& slot = clients_[streaming ? 1 : 0];
  Identity& made_for = made_for_[streaming ? 1 : 0];
  const bool same = made_for.client_certificate_pem == identity.client_certificate_pem &&
                    made_for.client_key_pem == identity.client_key_pem;
  if (slot == nullptr || !same) {
    slot = std::make_shared<http::client::http_client>(uri_.authority(), client_config(streaming, identity));
    made_for = identity;
  }
  return slot;
}

void CpprestTransport::begin(http::client::http_client& client, const HttpRequest& request,
                             const std::shared_ptr<Exchange>& exchange) {
  http::http_request message(request.method);
  message.set_request_uri(web::uri(prefix_ + request.target));
  for (const auto& [name, value] : request.headers) message.headers().add(name, value);
  // The library verifies the certificate against the Host header when there is one.
  if (!config_.tls_server_name.empty()) message.headers().add("Host", config_.tls_server_name);
  if (!request.body.empty()) {
    message.set_body(std::vector<unsigned char>(request.body.begin(), request.body.end()));
    message.headers().remove("Content-Type");
    message.headers().add("Content-Type", header(request.headers, "Content-Type"));
  }
  message.set_response_stream(
      make_sink_stream([exchange](std::string_view bytes) { return exchange->deliver(bytes); }));
  client.request(message, exchange->cancel.get_token())
      .then([exchange](const http::http_response& answer) {
        exchange->on_head(answer);
        return answer.content_ready();
      })
      .then([exchange](const pplx::task<http::http_response>& done) {
        std::string what;
        try {
          done.get();
        } catch (const std::exception& error) {
          what = error.what();
          if (what.empty()) what = "the connection failed";
        } catch (...) {
          what = "the connection failed";
        }
        exchange->finish(std::move(what));
      });
}

Error CpprestTransport::translate(const std::string& what) const {
  const bool tls = what.find("SSL") != std::string::npos || what.find("certificate") != std::string::npos ||
                   what.find("handshake") != std::string::npos;
  if (tls) {
    return {Code::kUnauthenticated,
            fmt::format("TLS with {} failed ({}); check certificate-authority and the certificates in {}",
                        config_.server, what, config_.source)};
  }
  return unavailable(
      fmt::format("cannot talk to the API server at {} ({}); check that it runs and that {} names it",
                  config_.server, what, config_.source));
}

Result<HttpResponse> CpprestTransport::run(const HttpRequest& request, bool streaming,
                                           const std::stop_token& stop,
                                           const std::function<bool(std::string_view)>& on_bytes,
                                           Deadline deadline, std::chrono::milliseconds idle) {
  auto exchange = std::make_shared<Exchange>();
  exchange->on_bytes = on_bytes;
  std::shared_ptr<http::client::http_client> connection;
  try {
    MUSTER_ASSIGN(connection, client(streaming));
    begin(*connection, request, exchange);
  } catch (const std::exception& error) {
    return translate(error.what());
  }
  const std::stop_callback wake(stop, [&] {
    const MutexLock lock(exchange->mutex);
    exchange->changed.notify_all();
  });
  MutexLock lock(exchange->mutex);
  const auto settled = [&]() MUSTER_REQUIRES(exchange->mutex) {
    return exchange->over || exchange->ended_by_consumer || exchange->too_large || stop.stop_requested();
  };
  while (!settled()) {
    const Instant limit = streaming ? exchange->last_byte + idle : deadline;
    if (exchange->changed.wait_until(lock, limit) == std::cv_status::timeout) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= (streaming ? exchange->last_byte + idle : deadline)) break;
    }
  }
  // Whatever was not read to its end must not go back into the pool of connections: cancelling closes the
  // socket.
  const bool finished = exchange->over;
  if (!finished) {
    lock.unlock();
    exchange->cancel.cancel();
    lock.lock();
    exchange->changed.wait_for(lock, kCancelWait,
                               [&]() MUSTER_REQUIRES(exchange->mutex) { return exchange->over; });
  }
  exchange->detached = true;
  exchange->changed.notify_all();
  if (exchange->ended_by_consumer) return std::move(exchange->response);
  if (stop.stop_requested()) return Error{Code::kCancelled, "stopped"};
  if (exchange->too_large) {
    return resource_exhausted(
        fmt::format("the answer of {} to {} is too large", config_.server, request.target));
  }
  if (!finished) {
    return deadline_exceeded(
        fmt::format("no {} from {} in time", streaming ? "byte" : "answer", config_.server));
  }
  if (!exchange->error.empty()) return translate(exchange->error);
  return std::move(exchange->response);
}

}  // namespace

void set_http_threads(int threads) {
  std::call_once(threads_once, [threads] {
    // The pool's threads may still free connections while the process ends. OpenSSL's cleanup at exit would
    // take its locks from under them, and the process would hang; the process's end gives all of it back
    // anyway.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
    try {
      crossplat::threadpool::initialize_with_threads(static_cast<std::size_t>(threads));
    } catch (const std::exception&) {
      // Something else of this process has started the pool: with the size that it has it serves, too.
    }
  });
}

Result<std::shared_ptr<HttpTransport>> make_cpprest_transport(const ClusterConfig& config) {
  if (!config.ca_pem.empty() && read_certificates(config.ca_pem).empty()) {
    return invalid_argument(fmt::format("{}: certificate-authority holds no PEM certificate", config.source));
  }
  if (config.server.find("://[") != std::string::npos) {  // cpprestsdk looks it up with its brackets
    return invalid_argument(fmt::format(
        "{}: server \"{}\" is an IPv6 address, which this client cannot connect to; give the address "
        "a name (DNS or /etc/hosts) and name that",
        config.source, config.server));
  }
  try {
    set_http_threads(kDefaultThreads);
    return std::shared_ptr<HttpTransport>(std::make_shared<CpprestTransport>(config));
  } catch (const std::exception& error) {
    return invalid_argument(
        fmt::format("{}: server \"{}\" is not a URL: {}", config.source, config.server, error.what()));
  }
}

Result<std::unique_ptr<Client>> make_client(const ClusterConfig& config, Client::Options options) {
  MUSTER_ASSIGN(auto transport, make_cpprest_transport(config));
  return std::make_unique<Client>(std::move(transport), config.identity, std::move(options));
}

}  // namespace muster::kube
