#pragma once  // local/api/patch.h: the ways in which a patch document changes an object. Pure
#include "local/api/api_error.h"
#include "local/api/schema.h"

namespace muster::local {

// RFC 7386.
void merge_patch(Json& target, const Json& patch);
// RFC 6902. Errors are those of the real server: 422 for an operation that cannot be done or a test that
// fails, 400 for a document that is no patch.
[[nodiscard]] ApiStatus json_patch(Json& target, const Json& patch);
// Strategic merge of built-in kinds: lists are merged by their key, $patch, $deleteFromPrimitiveList,
// $setElementOrder and $retainKeys are obeyed.
[[nodiscard]] ApiStatus strategic_merge_patch(Json& target, const Json& patch, const Schema& schema);

}  // namespace muster::local
