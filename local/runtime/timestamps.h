#pragma once  // local/runtime/timestamps.h: RFC 3339 times, as Kubernetes writes and reads them
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace muster::local {

[[nodiscard]] std::string rfc3339(WallTime time);  // "2026-01-02T03:04:05Z"
[[nodiscard]] std::string rfc3339_nano(
    WallTime time);  // "2026-01-02T03:04:05.000000006Z", always 30 characters
[[nodiscard]] std::optional<WallTime> parse_rfc3339(
    std::string_view source);  // with or without fraction and offset

}  // namespace muster::local
