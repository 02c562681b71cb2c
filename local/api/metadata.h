#pragma once  // local/api/metadata.h: reading and preparing what every object has: names, owners, finalizers,
              // versions
#include <string>
#include <string_view>
#include <vector>

#include "common/json/access.h"
#include "local/api/api_error.h"
#include "local/api/formats.h"
#include "local/api/kind.h"

namespace muster::local {

// The member `name` if it is there and an object, else an empty one.
[[nodiscard]] const Json& object_of(const Json& object, const char* name);
[[nodiscard]] const Json& array_of(const Json& object, const char* name);
[[nodiscard]] bool has_finalizer(const Json& object, std::string_view finalizer);
[[nodiscard]] std::vector<std::string> finalizers_of(const Json& object);
[[nodiscard]] bool is_terminating(const Json& object);  // carries deletionTimestamp

// Gives a new object its uid, name, creationTimestamp and generation, and takes away what clients do not set.
void prepare_new_metadata(const Kind& kind, const std::string& ns, WallTime now, Json& object);
// Carries over from `old` what an update cannot change.
void keep_metadata(const Json& old, Json& object);
[[nodiscard]] FieldErrors validate_metadata(const Kind& kind, const Json& object);
[[nodiscard]] FieldErrors validate_metadata_update(const Json& object, const Json& old);

// True if anything but metadata and status differs.
[[nodiscard]] bool spec_differs(const Json& a, const Json& b);
// True if the two are the same to a reader, whatever managedFields' times and the resourceVersion say.
[[nodiscard]] bool same_object(const Json& a, const Json& b);

}  // namespace muster::local
