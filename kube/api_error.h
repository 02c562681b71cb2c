#pragma once  // kube/api_error.h: what an API server's refusal means, from its Status object or the bare HTTP
              // code. Pure
#include <chrono>
#include <optional>
#include <string>

#include "common/json/fields.h"
#include "kube/http_transport.h"

namespace muster::kube {

struct ApiError {
  int http_status = 0;
  std::string reason;   // "AlreadyExists", "Expired", ...; "" when the answer was no Status (a proxy's page)
  std::string message;  // with the causes, one line
  std::optional<std::chrono::seconds> retry_after;  // header, else details.retryAfterSeconds
};

// Reads any answer of 400 and above; a body that is no Status is quoted shortly.
[[nodiscard]] ApiError parse_api_error(const HttpResponse& response,
                                       std::chrono::system_clock::time_point now);
// Reads the object of a watch event of type ERROR.
[[nodiscard]] ApiError parse_api_status(const Json& status);

// 409 is told apart by reason: AlreadyExists -> kAlreadyExists, else kAborted. 410 -> kOutOfRange (list
// again). 400, 422 -> kInvalidArgument. 401 -> kUnauthenticated. 403 -> kPermissionDenied. 404 -> kNotFound.
// 415 -> kUnimplemented. 429 -> kResourceExhausted. 504, Timeout -> kDeadlineExceeded. 500 -> kInternal,
// other 5xx -> kUnavailable.
[[nodiscard]] Error to_error(const ApiError& error);

// Nobody has answered, or somebody who says that nobody will.
[[nodiscard]] inline bool is_away(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded;
}

}  // namespace muster::kube
