#pragma once  // local/api/list_options.h: the query of a list or a watch, and the continue tokens of pages
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "local/api/api_error.h"
#include "local/api/http_message.h"
#include "local/api/kind.h"
#include "local/api/selectors.h"

namespace muster::local {

struct ListOptions {
  Selector selector;
  bool watch = false;
  bool bookmarks = false;
  std::int64_t limit = 0;  // 0: none
  std::int64_t timeout_seconds = 0;
  std::string continue_token;
  std::string resource_version;
  std::string match;                   // resourceVersionMatch
  std::optional<bool> initial_events;  // sendInitialEvents
};

// Decodes and checks in the order of a real server: wrong values (400), combinations (422), fields that
// `kind` is not selected by (400). `name` is the one of the path, or "". `watch_list`: sendInitialEvents may
// be asked for (Kubernetes' feature gate WatchList).
[[nodiscard]] ApiResult<ListOptions> parse_list_options(const HttpRequest& request, const Kind& kind,
                                                        const std::string& name, bool watch_path,
                                                        bool watch_list = false);

// A query parameter that is true unless it says "false" or "0".
[[nodiscard]] bool flag_parameter(const HttpRequest& request, std::string_view name);

struct ContinueToken {
  std::int64_t version = 0;  // -1: the newest, for a list that need not be consistent
  std::string start;         // the first key, relative to the list
};
[[nodiscard]] std::string encode_continue(const ContinueToken& token);
[[nodiscard]] ApiResult<ContinueToken> decode_continue(std::string_view text);

[[nodiscard]] ApiResult<std::uint64_t> parse_resource_version(std::string_view text);

}  // namespace muster::local
