// local/api/http_listener.cc: cpprestsdk's requests as ours, and bodies that it pulls piece by piece
#include "local/api/http_listener.h"

#include <arpa/inet.h>
#include <cpprest/http_listener.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace muster::local {
namespace {

namespace rest = web::http;
using Listener = web::http::experimental::listener::http_listener;
using ListenerConfig = web::http::experimental::listener::http_listener_config;

constexpr std::size_t kBodyBytesMax = 3 * 1024 * 1024;  // as the real server
constexpr int kAttempts = 5;                            // to get a free port before somebody else does

// A read-only stream buffer whose bytes come from a BodyStream. cpprestsdk asks for the next bytes when
// the ones before are on the wire, so a slow client holds its own stream back and nothing else.
class PullBuffer : public concurrency::streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  PullBuffer(std::shared_ptr<BodyStream> body, bool broken)
      : streambuf_state_manager<std::uint8_t>(std::ios_base::in), body_(std::move(body)), broken_(broken) {}
  ~PullBuffer() override {
    if (body_) body_->close();
  }

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(size_t, std::ios_base::openmode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return static_cast<pos_type>(traits::eof()); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override {
    return static_cast<pos_type>(traits::eof());
  }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return static_cast<pos_type>(traits::eof());
  }
  bool acquire(std::uint8_t*& pointer, size_t& count) override {
    pointer = nullptr;
    count = 0;
    return false;
  }
  void release(std::uint8_t*, size_t) override {}

 protected:
  pplx::task<int_type> _putc(std::uint8_t) override {
    return pplx::task_from_result<int_type>(traits::eof());
  }
  pplx::task<size_t> _putn(const std::uint8_t*, size_t) override { return pplx::task_from_result<size_t>(0); }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  std::uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}
  pplx::task<int_type> _bumpc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  pplx::task<int_type> _ungetc() override { return pplx::task_from_result<int_type>(traits::eof()); }
  size_t _scopy(std::uint8_t*, size_t) override { return 0; }

  pplx::task<size_t> _getn(std::uint8_t* to, size_t count) override {
    pplx::task_completion_event<size_t> done;
    read(to, count, done);
    return pplx::create_task(done);
  }

 private:
  void read(std::uint8_t* to, size_t count, const pplx::task_completion_event<size_t>& done) {
    if (at_ == piece_.size()) {
      piece_.clear();
      at_ = 0;
      const BodyStream::State state = broken_ ? BodyStream::State::kEnd : body_->pull(piece_);
      if (state == BodyStream::State::kPending) {
        auto self = std::static_pointer_cast<PullBuffer>(this->shared_from_this());
        // Not from within the waker's thread: the store must not wait for a socket.
        body_->when_ready([self, to, count, done] {
          pplx::create_task([self, to, count, done] { self->read(to, count, done); });
        });
        return;
      }
      if (state == BodyStream::State::kEnd && broken_) {
        done.set_exception(std::make_exception_ptr(std::runtime_error("the connection is cut on request")));
        return;
      }
    }
    const size_t taken = std::min(count, piece_.size() - at_);
    std::memcpy(to, piece_.data() + at_, taken);
    at_ += taken;
    done.set(taken);
  }

  std::shared_ptr<BodyStream> body_;
  const bool broken_;
  std::string piece_;
  std::size_t at_ = 0;
};

HttpRequest convert(const rest::http_request& message, const std::vector<unsigned char>& body) {
  HttpRequest request;
  request.method = message.method();
  for (const auto& [name, value] : message.headers()) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[lower] = value;
  }
  request.body.assign(body.begin(), body.end());
  return request;
}

void reply(const rest::http_request& message, HttpResponse answer) {
  rest::http_response response(static_cast<rest::status_code>(answer.status));
  for (const auto& [name, value] : answer.headers) response.headers().add(name, value);
  if (answer.stream || answer.cut) {
    const auto buffer = std::make_shared<PullBuffer>(answer.stream, answer.cut);
    const concurrency::streams::streambuf<std::uint8_t> wrapped(buffer);
    response.set_body(concurrency::streams::istream(wrapped), answer.content_type);
  } else {
    std::vector<unsigned char> bytes(answer.body.begin(), answer.body.end());
    response.set_body(std::move(bytes));
    response.headers().set_content_type(answer.content_type);
  }
  message.reply(response).then([](const pplx::task<void>& sent) {
    try {
      sent.get();
    } catch (const std::exception&) {  // the client left; its streams end with the buffer
    }
  });
}

HttpResponse refuse(int status, const char* text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = text;
  return response;
}

int free_port(const std::string& ip) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return 0;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
  socklen_t size = sizeof address;
  int port = 0;
  if (::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    port = ntohs(address.sin_port);
  ::close(socket);
  return port;
}

}  // namespace

struct HttpListener::Impl {
  HttpApi& api;
  int port = 0;
  std::unique_ptr<Listener> listener;
  std::atomic<bool> open{false};

  explicit Impl(HttpApi& target) : api(target) {}

  void serve(const rest::http_request& message) {
    if (message.headers().content_length() > kBodyBytesMax) {
      reply(message, refuse(413, "the body of a request may have 3145728 bytes at most\n"));
      return;
    }
    message.extract_vector().then([this, message](const pplx::task<std::vector<unsigned char>>& read) {
      try {
        const std::vector<unsigned char> body = read.get();
        if (body.size() > kBodyBytesMax) return reply(message, refuse(413, "the body is too large\n"));
        HttpRequest request = convert(message, body);
        if (!parse_target(message.request_uri().to_string(), request.path, request.query))
          return reply(message, refuse(400, "400 Bad Request: broken escape in the URL\n"));
        reply(message, api.handle(request));
      } catch (const std::exception&) {  // the client left while it was sending
      }
    });
  }

  Status start(const std::string& ip, int wanted, const Certificate& certificate) {
    ListenerConfig config;
    config.set_backlog(512);
    config.set_ssl_context_callback([certificate](boost::asio::ssl::context& context) {
      using boost::asio::ssl::context_base;
      context.set_options(context_base::default_workarounds | context_base::no_sslv2 |
                          context_base::no_sslv3 | context_base::no_tlsv1 | context_base::no_tlsv1_1);
      context.use_certificate_chain(boost::asio::buffer(certificate.certificate_pem));
      context.use_private_key(boost::asio::buffer(certificate.key_pem), context_base::pem);
    });
    std::string problem;
    for (int attempt = 0; attempt < (wanted == 0 ? kAttempts : 1); ++attempt) {
      port = wanted == 0 ? free_port(ip) : wanted;
      try {
        listener =
            std::make_unique<Listener>(web::uri("https://" + ip + ":" + std::to_string(port) + "/"), config);
        listener->support([this](const rest::http_request& message) { serve(message); });
        listener->support(rest::methods::PATCH,
                          [this](const rest::http_request& message) { serve(message); });
        listener->open().wait();
        open = true;
        return {};
      } catch (const std::exception& error) {
        problem = error.what();
        listener.reset();
      }
    }
    return unavailable("cannot listen on " + ip + ":" + std::to_string(port) + ": " + problem +
                       "; is the port in use? Choose another one, or 0 for a free one");
  }
};

HttpListener::HttpListener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpListener::~HttpListener() { close(); }
int HttpListener::port() const { return impl_->port; }

Result<std::unique_ptr<HttpListener>> HttpListener::open(HttpApi& api, const std::string& ip, int port,
                                                         const Certificate& certificate) {
  auto impl = std::make_unique<Impl>(api);
  MUSTER_TRY(impl->start(ip, port, certificate));
  return std::unique_ptr<HttpListener>(new HttpListener(std::move(impl)));
}

void HttpListener::close() {
  if (!impl_->open.exchange(false)) return;
  try {
    impl_->listener->close().wait();
  } catch (const std::exception&) {  // it is closed, then
  }
}

}  // namespace muster::local
