// kube/api_error.cc: reading Status objects and error pages
#include "kube/api_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "common/base/text.h"
#include "common/json/access.h"
#include "common/json/read_json.h"

namespace muster::kube {
namespace {

constexpr std::size_t kQuotedBytes = 200;  // of an answer that is no Status
constexpr std::chrono::seconds kRetryAfterMax{3600};

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// RFC 9110: seconds, or an HTTP date.
std::optional<std::chrono::seconds> parse_retry_after(const std::string& text,
                                                      std::chrono::system_clock::time_point now) {
  if (text.empty()) return std::nullopt;
  if (const auto seconds = whole_number(text)) {
    if (*seconds < 0) return std::nullopt;
    return std::chrono::seconds(std::min(*seconds, kRetryAfterMax.count()));
  }
  std::tm parts{};
  if (strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
  const auto at = std::chrono::system_clock::from_time_t(timegm(&parts));
  const auto wait = std::chrono::duration_cast<std::chrono::seconds>(at - now);
  return std::clamp(wait, std::chrono::seconds(0), kRetryAfterMax);
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return text;
}

}  // namespace

ApiError parse_api_status(const Json& status) {
  ApiError error;
  if (!status.is_object()) return error;
  if (const auto code = status.find("code"); code != status.end() && code->is_number_integer()) {
    error.http_status = code->get<int>();
  }
  error.reason = text_at(status, "reason");
  error.message = one_line(text_at(status, "message"));
  const auto details = status.find("details");
  if (details == status.end() || !details->is_object()) return error;
  if (const auto after = details->find("retryAfterSeconds");
      after != details->end() && after->is_number_integer()) {
    const auto seconds = after->get<std::int64_t>();
    if (seconds > 0) error.retry_after = std::chrono::seconds(std::min(seconds, kRetryAfterMax.count()));
  }
  const auto causes = details->find("causes");
  if (causes == details->end() || !causes->is_array()) return error;
  for (const Json& cause : *causes) {
    if (!cause.is_object()) continue;
    // Its field is that of the request, not one that anybody wrote, and the message tells it.
    if (text_at(cause, "reason") == "NamespaceTerminating") continue;
    const std::string text = text_at(cause, "message");
    if (!text.empty() && error.message.find(text) == std::string::npos) {
      error.message += fmt::format("; {}: {}", text_at(cause, "field"), one_line(text));
    }
    if (text_at(cause, "reason") == "ResourceVersionTooLarge") error.reason = "ResourceVersionTooLarge";
  }
  return error;
}

ApiError parse_api_error(const HttpResponse& response, std::chrono::system_clock::time_point now) {
  const Json body = read_json(response.body);
  ApiError error;
  if (body.is_object() && text_at(body, "kind") == "Status") error = parse_api_status(body);
  if (error.message.empty()) {
    error.message = fmt::format("the server answered HTTP {}", response.status);
    if (!response.body.empty()) {
      error.message += ": " + one_line(clip(response.body, kQuotedBytes));
    }
  }
  error.http_status = response.status;
  if (auto after = parse_retry_after(header(response.headers, "Retry-After"), now)) error.retry_after = after;
  return error;
}

Error to_error(const ApiError& error) {
  const auto code = [&] {
    if (error.reason == "Expired" || error.reason == "Gone") return Code::kOutOfRange;
    if (error.reason == "AlreadyExists") return Code::kAlreadyExists;
    if (error.reason == "ResourceVersionTooLarge") return Code::kOutOfRange;
    switch (error.http_status) {
      case 400:
      case 422: return Code::kInvalidArgument;
      case 401: return Code::kUnauthenticated;
      case 403: return Code::kPermissionDenied;
      case 404: return Code::kNotFound;
      case 405:
      case 406:
      case 415: return Code::kUnimplemented;
      case 409: return Code::kAborted;
      case 410: return Code::kOutOfRange;
      case 429: return Code::kResourceExhausted;
      case 500: return Code::kInternal;
      case 504: return Code::kDeadlineExceeded;
      default: return error.http_status >= 500 ? Code::kUnavailable : Code::kUnknown;
    }
  }();
  return {code, error.message};
}

}  // namespace muster::kube
