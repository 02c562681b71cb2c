#pragma once  // local/api/object_draft.h: an object as the store will hold it, but for its version
              // (private to object_*.cc)
#include "local/api/object_store.h"

namespace muster::local {

// An object that waits for its version: so all else is done outside the store's lock.
struct Draft {
  std::shared_ptr<StoredObject> object = std::make_shared<StoredObject>();
  std::size_t version_at = 0;  // where its digits are in the text

  ObjectPtr finish(std::uint64_t version);
};

[[nodiscard]] Draft make_draft(const Json& json);  // which has metadata

}  // namespace muster::local
