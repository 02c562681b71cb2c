#pragma once  // common/base/result.h: how an expected failure travels: a code, a sentence, or a value
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace muster {

// The canonical gRPC codes, so that each boundary to gRPC, HTTP or an exit code is one table.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

[[nodiscard]] std::string_view code_name(Code code);

// `message` names the object, the fact and the remedy; it never holds a secret.
struct [[nodiscard]] Error {
  Code code = Code::kUnknown;
  std::string message;

  // The same error with "context: " in front of its message.
  [[nodiscard]] Error in(std::string_view context) const {
    return Error{code, std::string(context) + ": " + message};
  }
  friend bool operator==(const Error&, const Error&) = default;
};

// A value or an Error. Wraps tl::expected because version 1.0 of it is not [[nodiscard]].
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  using Base = tl::expected<T, Error>;

 public:
  using Base::Base;
  Result(Error error) : Base(tl::make_unexpected(std::move(error))) {}      // NOLINT: implicit by design
  Result(T value) requires(!std::is_void_v<T>) : Base(std::move(value)) {}  // NOLINT: implicit by design
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
  using Base = tl::expected<void, Error>;

 public:
  Result() = default;
  Result(Error error) : Base(tl::make_unexpected(std::move(error))) {}  // NOLINT: implicit by design
};

using Status = Result<void>;

inline Error invalid_argument(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }
inline Error deadline_exceeded(std::string message) { return {Code::kDeadlineExceeded, std::move(message)}; }
inline Error not_found(std::string message) { return {Code::kNotFound, std::move(message)}; }
inline Error already_exists(std::string message) { return {Code::kAlreadyExists, std::move(message)}; }
inline Error failed_precondition(std::string message) {
  return {Code::kFailedPrecondition, std::move(message)};
}
inline Error resource_exhausted(std::string message) {
  return {Code::kResourceExhausted, std::move(message)};
}
inline Error unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
inline Error data_loss(std::string message) { return {Code::kDataLoss, std::move(message)}; }
inline Error internal_error(std::string message) { return {Code::kInternal, std::move(message)}; }
inline Error aborted(std::string message) { return {Code::kAborted, std::move(message)}; }

}  // namespace muster

// Returns the error of `expression` (a Result or Status) from the enclosing function, if it has one.
#define MUSTER_TRY(expression)                                     \
  do {                                                             \
    if (auto muster_try_status = (expression); !muster_try_status) \
      return std::move(muster_try_status).error();                 \
  } while (false)

#define MUSTER_CONCAT_(a, b) a##b
#define MUSTER_CONCAT(a, b) MUSTER_CONCAT_(a, b)

// `MUSTER_ASSIGN(auto x, f());` declares x from a Result, or returns its error.
#define MUSTER_ASSIGN(declaration, expression) \
  MUSTER_ASSIGN_(MUSTER_CONCAT(muster_result_, __COUNTER__), declaration, expression)
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration takes none
#define MUSTER_ASSIGN_(name, declaration, expression) \
  auto name = (expression);                           \
  if (!name) return std::move(name).error();          \
  declaration = std::move(*name)
// NOLINTEND(bugprone-macro-parentheses)
