#pragma once  // cli/status_view.h: the text of `muster status` and `muster top`, from objects already
              // fetched. Pure
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::cli {

// Why nothing comes of suspending or resuming the object: it has ended. Empty: something does.
[[nodiscard]] std::string why_not_suspended(const Json& object, bool suspended);

// A tree: the object with its progress, its membership, each of its pods with state, age and what is wrong
// with it, and the newest warning.
[[nodiscard]] std::string render_status(const Json& object, const std::vector<Json>& pods,
                                        const std::vector<Json>& events, WallTime now);

// A row for each object that has not ended, the fastest first.
[[nodiscard]] std::string render_top(const std::vector<Json>& objects);

}  // namespace muster::cli
