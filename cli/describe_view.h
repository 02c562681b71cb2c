#pragma once  // cli/describe_view.h: the text of `muster describe`, from objects that were already fetched.
              // Pure
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::cli {

// A tree: what it is and does, conditions newest last, pods with their state, events with their age.
[[nodiscard]] std::string render_description(const Json& object, const std::vector<Json>& pods,
                                             const std::vector<Json>& events, WallTime now);

// When the event was told last, RFC 3339.
[[nodiscard]] std::string last_seen(const Json& event);

// "event: Pod/ring-worker-0 Started: MESSAGE"; further lines of the message are set in.
[[nodiscard]] std::string render_event(const Json& event);

}  // namespace muster::cli
