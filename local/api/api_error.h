#pragma once  // local/api/api_error.h: a refusal as Kubernetes clients know it (metav1.Status)
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::local {

// One field of a 422: `message` is what follows "field: ".
struct FieldError {
  std::string reason;  // "FieldValueInvalid", ...
  std::string field;
  std::string message;

  static FieldError required(std::string field, std::string_view detail = "");
  static FieldError invalid(std::string field, const Json& value, std::string_view detail);
  static FieldError type_invalid(std::string field, const Json& value, std::string_view detail);
  static FieldError not_supported(std::string field, const Json& value,
                                  const std::vector<std::string>& supported);
  static FieldError duplicate(std::string field, const Json& value);
  static FieldError forbidden(std::string field, std::string_view detail);
  static FieldError not_found(std::string field, const Json& value);
  static FieldError too_long(std::string field, std::int64_t bytes_max);
  static FieldError too_many(std::string field, std::size_t count, std::int64_t items_max);
};
using FieldErrors = std::vector<FieldError>;

struct ApiError {
  int code = 500;
  std::string reason;
  std::string message;
  Json details;  // null or an object
  int retry_after_seconds = 0;
  std::string next{};  // a continue token to go on with

  [[nodiscard]] Json status() const;
  [[nodiscard]] Error error() const;  // for callers in this process

  static ApiError not_found(std::string_view resource, std::string_view name);
  static ApiError no_such_path();
  static ApiError already_exists(std::string_view resource, std::string_view name);
  static ApiError conflict(std::string_view resource, std::string_view name, std::string_view why);
  static ApiError bad_request(std::string message);
  // `group_kind`: "Widget.parity.muster.dev", "Pod".
  static ApiError invalid(std::string_view group_kind, std::string_view name, const FieldErrors& errors);
  static ApiError plain_invalid(std::string message);  // 422 without causes
  static ApiError method_not_allowed();
  static ApiError unsupported_media_type(std::string_view accepted);
  static ApiError expired(std::string message);
  static ApiError forbidden(std::string_view resource, std::string_view name, std::string_view why);
  static ApiError internal(const std::string& message);
  static ApiError timeout(std::string message);
};

// A Go value as %#v and %q print it, where the real server's texts show them.
[[nodiscard]] std::string go_quote(std::string_view text);
[[nodiscard]] std::string go_value(const Json& value);

template <typename T>
class [[nodiscard]] ApiResult : public tl::expected<T, ApiError> {
  using Base = tl::expected<T, ApiError>;

 public:
  using Base::Base;
  ApiResult(ApiError error) : Base(tl::make_unexpected(std::move(error))) {}   // NOLINT: implicit by design
  ApiResult(T value) requires(!std::is_void_v<T>) : Base(std::move(value)) {}  // NOLINT: implicit by design
};
template <>
class [[nodiscard]] ApiResult<void> : public tl::expected<void, ApiError> {
  using Base = tl::expected<void, ApiError>;

 public:
  ApiResult() = default;
  ApiResult(ApiError error) : Base(tl::make_unexpected(std::move(error))) {}  // NOLINT: implicit by design
};
using ApiStatus = ApiResult<void>;

}  // namespace muster::local
