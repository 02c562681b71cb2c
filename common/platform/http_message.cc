// common/platform/http_message.cc: HTTP/1.1, as far as a server of one request a connection needs it
#include "common/platform/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace muster {
namespace {

constexpr std::size_t kHeadersMax = 64;

std::string_view reason_of(int code) {
  switch (code) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 503: return "Service Unavailable";
    default: return "Answer";
  }
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_visible(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

// The line before the next line break, which goes from `text` with it.
std::string_view next_line(std::string_view& text) {
  const auto end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
  return line;
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &HttpHeaders::value_type::first);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Result<HttpRequest> parse_head(std::string_view head) {
  const std::string_view line = next_line(head);
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return invalid_argument("no request of HTTP/1");
  HttpRequest request{.method = std::string(line.substr(0, first)),
                      .target = std::string(line.substr(first + 1, last - first - 1))};
  if (!is_token(request.method) || !is_visible(request.target) ||
      !line.substr(last + 1).starts_with("HTTP/1."))
    return invalid_argument("no request of HTTP/1");
  while (!head.empty()) {
    const std::string_view field = next_line(head);
    const auto colon = field.find(':');
    const std::string_view name = field.substr(0, colon);
    if (colon == std::string_view::npos || !is_token(name) || request.headers.size() == kHeadersMax)
      return invalid_argument("a header is none, or there are too many");
    request.headers.emplace_back(lower_case(name), trimmed(field.substr(colon + 1)));
  }
  return request;
}

Result<std::size_t> body_bytes(const HttpRequest& request, std::size_t bytes_max, std::size_t& excess) {
  if (!request.header("transfer-encoding").empty())
    return Error{Code::kUnimplemented, "send the body with a Content-Length, not in chunks"};
  const auto is_length = [](const auto& header) { return header.first == "content-length"; };
  const auto lengths = std::ranges::count_if(request.headers, is_length);
  if (lengths == 0) return std::size_t{0};
  const std::string_view text = request.header("content-length");
  std::size_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (lengths > 1 || error != std::errc() || end != text.data() + text.size())
    return invalid_argument("Content-Length is no number of bytes");
  if (bytes <= bytes_max) return bytes;
  excess = bytes;
  return Error{Code::kOutOfRange,
               fmt::format("the body has {} bytes; at most {} are taken", bytes, bytes_max)};
}

Result<HttpAnswer> parse_answer(std::string_view text) {
  const auto end = text.find("\r\n\r\n");
  const Error none = invalid_argument("no answer of HTTP/1");
  if (end == std::string_view::npos) return none;
  std::string_view head = text.substr(0, end);
  const std::string_view line = next_line(head);
  HttpAnswer answer;
  const auto space = line.find(' ');
  if (!line.starts_with("HTTP/1.") || space == std::string_view::npos || line.size() < space + 4) return none;
  const auto [stop, error] = std::from_chars(line.data() + space + 1, line.data() + space + 4, answer.code);
  if (error != std::errc() || stop != line.data() + space + 4 || answer.code < 200 || answer.code > 599)
    return none;
  std::size_t bytes = 0;
  while (!head.empty()) {
    const std::string_view field = next_line(head);
    const std::string name = lower_case(field.substr(0, field.find(':')));
    const std::string_view value = trimmed(field.substr(std::min(field.size(), name.size() + 1)));
    if (name == "content-type" && is_visible(value)) answer.type = value;
    if (name == "content-length") std::from_chars(value.data(), value.data() + value.size(), bytes);
  }
  answer.body = text.substr(end + 4);
  if (answer.body.size() != bytes) return none;
  return answer;
}

std::string to_text(const HttpAnswer& answer) {
  std::string more;
  for (const auto& [name, value] : answer.headers) more += fmt::format("{}: {}\r\n", name, value);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n{}",
      answer.code, reason_of(answer.code), answer.type, answer.body.size(), more, answer.body);
}

}  // namespace muster
