#pragma once  // common/platform/http_message.h: requests and answers of the small HTTP servers, as text and
              // back. Pure
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace muster {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method, target;
  HttpHeaders headers{};  // their names in lower case
  std::string body{};

  // The first of that name (in lower case); empty if there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct HttpAnswer {
  int code = 200;
  std::string type = "text/plain";
  std::string body{};
  HttpHeaders headers{};  // besides
};

// Of the bytes before the empty line. Error: kInvalidArgument: it is no head of HTTP/1.
[[nodiscard]] Result<HttpRequest> parse_head(std::string_view head);
// How long the body is. Errors: kInvalidArgument: nobody can know; kUnimplemented: it comes in chunks;
// kOutOfRange: longer than `bytes_max`, by the length that it has: `excess`.
[[nodiscard]] Result<std::size_t> body_bytes(const HttpRequest& request, std::size_t bytes_max,
                                             std::size_t& excess);
// Of all that came. Error: kInvalidArgument: it is no whole answer of HTTP/1. Headers but the type are passed
// over.
[[nodiscard]] Result<HttpAnswer> parse_answer(std::string_view text);
// With its length; the connection ends with it.
[[nodiscard]] std::string to_text(const HttpAnswer& answer);

}  // namespace muster
