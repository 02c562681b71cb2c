#pragma once  // common/spec/into.h: members of a spec that have a reader of their own, for Fields::object and
              // each
#include <vector>

#include "common/json/fields.h"

namespace muster::spec {

// Reads the member with `read` and keeps it in `out`, which outlives the Fields.
template <typename Out, typename T>
auto into(Out& out, Result<T> (*read)(const Json&, const std::string&)) {
  return [&out, read](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(out, read(value, at));
    return {};
  };
}

// The same for an element of a list.
template <typename T>
auto onto(std::vector<T>& list, Result<T> (*read)(const Json&, const std::string&)) {
  return [&list, read](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(T item, read(value, at));
    list.push_back(std::move(item));
    return {};
  };
}

}  // namespace muster::spec
