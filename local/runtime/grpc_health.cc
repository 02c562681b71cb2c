// local/runtime/grpc_health.cc: one gRPC call, by hand: a gRPC library would cost every start of muster more
// than this
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <utility>

#include "local/runtime/dialogue.h"

namespace muster::local {
namespace {

constexpr std::size_t kFrameHead = 9;
constexpr std::size_t kFrameBytes = 16'384;  // the most a peer may send before SETTINGS say more: ours do not
constexpr std::size_t kMessageBytes = 1024;  // a HealthCheckResponse has 2
constexpr std::uint32_t kStream = 1;

enum Type : std::uint8_t { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7 };
enum Flag : std::uint8_t { kEndStream = 0x1, kAck = 0x1, kEndHeaders = 0x4, kPadded = 0x8 };

std::string frame(Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift & 0xff);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 0xff);
  return out.append(payload);
}

// HPACK: an integer with a prefix of `bits` bits (RFC 7541, 5.1); `first` holds what is in front of it.
void add_number(std::uint8_t first, int bits, std::size_t value, std::string& out) {
  const std::size_t limit = (1U << bits) - 1;
  if (value < limit) {
    out += static_cast<char>(first | value);
    return;
  }
  out += static_cast<char>(first | limit);
  for (value -= limit; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

void add_text(std::string_view text, std::string& out) {
  add_number(0, 7, text.size(), out);
  out.append(text);
}

// A header that nobody puts into a table (6.2.2), its name by its place in the static one (Appendix A).
void add_header(std::size_t name, std::string_view value, std::string& out) {
  add_number(0, 4, name, out);
  add_text(value, out);
}

std::string request_headers(const std::string& authority) {
  constexpr std::size_t kAuthority = 1;
  constexpr std::size_t kPath = 4;
  constexpr std::size_t kContentType = 31;
  constexpr std::size_t kUserAgent = 58;
  std::string out("\x83\x86");  // :method POST, :scheme http
  add_header(kPath, "/grpc.health.v1.Health/Check", out);
  add_header(kAuthority, authority, out);
  add_header(kContentType, "application/grpc", out);
  add_header(kUserAgent, "kube-probe/1.33", out);
  out += '\0';  // a name that is not in the table
  add_text("te", out);
  add_text("trailers", out);
  return out;
}

// HealthCheckRequest{service} with gRPC's five bytes in front.
std::string request_message(const std::string& service) {
  std::string message;
  if (!service.empty()) {
    message += '\x0a';
    std::size_t size = service.size();
    for (; size >= 0x80; size >>= 7) message += static_cast<char>((size & 0x7f) | 0x80);
    message += static_cast<char>(size);
    message += service;
  }
  std::string out(1, '\0');
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(message.size() >> shift & 0xff);
  return out + message;
}

std::uint32_t number_at(std::string_view bytes, std::size_t at, int size) {
  std::uint32_t out = 0;
  for (int i = 0; i < size; ++i)
    out = out << 8 | static_cast<std::uint8_t>(bytes[at + static_cast<std::size_t>(i)]);
  return out;
}

class GrpcHealth : public Dialogue {
 public:
  GrpcHealth(const std::string& authority, const std::string& service)
      : output_("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, "") +
                frame(kHeaders, kEndHeaders, kStream, request_headers(authority)) +
                frame(kData, kEndStream, kStream, request_message(service))),
        service_(service) {}

  std::string output() override { return std::exchange(output_, ""); }

  void input(std::string_view bytes) override {
    buffer_.append(bytes);
    std::size_t at = 0;
    while (!verdict_ && buffer_.size() - at >= kFrameHead) {
      const std::size_t size = number_at(buffer_, at, 3);
      if (size > kFrameBytes) return fail("the server does not speak HTTP/2 (is it a gRPC server?)");
      if (buffer_.size() - at < kFrameHead + size) break;
      take(std::string_view(buffer_).substr(at, kFrameHead),
           std::string_view(buffer_).substr(at + kFrameHead, size));
      at += kFrameHead + size;
    }
    buffer_.erase(0, at);
  }

  void end() override {
    if (!verdict_) fail("the server closed the connection without an answer (is it a gRPC server?)");
  }

  std::optional<Verdict> verdict() const override { return verdict_; }

 private:
  void take(std::string_view head, std::string_view payload) {
    const auto type = static_cast<std::uint8_t>(head[3]);
    const auto flags = static_cast<std::uint8_t>(head[4]);
    const std::uint32_t stream = number_at(head, 5, 4) & 0x7fffffff;
    if (type == kSettings && (flags & kAck) == 0) output_ += frame(kSettings, kAck, 0, "");
    if (type == kPing && (flags & kAck) == 0) output_ += frame(kPing, kAck, 0, payload);
    if (type == kGoAway) return fail("the server went away");
    if (stream != kStream) return;
    if (type == kReset) return fail("the server reset the call");
    if (type == kData) take_data(payload, (flags & kPadded) != 0);
    // The reason would be in trailers, which may be compressed; there is one that is usual.
    if (!verdict_ && (type == kData || type == kHeaders) && (flags & kEndStream) != 0) {
      fail(fmt::format("the server does not implement grpc.health.v1.Health, or knows no service \"{}\"",
                       service_));
    }
  }

  void take_data(std::string_view payload, bool padded) {
    if (padded) {
      const std::size_t pad = payload.empty() ? 1 : static_cast<std::uint8_t>(payload[0]);
      if (pad + 1 > payload.size()) return fail("the server sent a broken frame");
      payload = payload.substr(1, payload.size() - 1 - pad);
    }
    message_.append(payload);
    constexpr std::size_t kPrefix = 5;
    if (message_.size() < kPrefix) return;
    const std::size_t size = number_at(message_, 1, 4);
    if (message_[0] != 0 || size > kMessageBytes)
      return fail("the server sent something else than a health status");
    if (message_.size() >= kPrefix + size) judge(std::string_view(message_).substr(kPrefix, size));
  }

  // HealthCheckResponse{status = 1}
  void judge(std::string_view message) {
    constexpr std::array<const char*, 4> kNames{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    const bool field = message.size() == 2 && message[0] == '\x08';
    const std::size_t value = field ? static_cast<std::uint8_t>(message[1]) : 0;
    const std::size_t status = value < kNames.size() ? value : 0;
    verdict_ = {.success = status == 1,
                .output = fmt::format("service unhealthy (responded with \"{}\")", kNames.at(status))};
  }

  void fail(std::string why) { verdict_ = {.success = false, .output = std::move(why)}; }

  std::string output_;
  const std::string service_;
  std::string buffer_;
  std::string message_;
  std::optional<Verdict> verdict_;
};

}  // namespace

std::unique_ptr<Dialogue> grpc_health(const std::string& authority, const std::string& service) {
  return std::make_unique<GrpcHealth>(authority, service);
}

}  // namespace muster::local
