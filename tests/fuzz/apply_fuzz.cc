// tests/fuzz/apply_fuzz.cc: server-side apply and field ownership. Parts: the live object (with
// managedFields), the configuration; both JSON. The kind is the one that the configuration names.
#include "common/json/read_json.h"
#include "local/api/managed_fields.h"
#include "local/api/metadata.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/things.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::local;
  using muster::Json;
  static const KindTable kBuiltin(builtin_kinds());
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 2);
  const Json live = muster::read_json(texts[0]);
  const Json config = muster::read_json(texts[1]);
  if (!live.is_object() || !config.is_object()) return 0;
  if (!object_of(live, "metadata").is_object() || !live.contains("metadata") || !config.contains("metadata"))
    return 0;
  if (!live["metadata"].is_object() || !config["metadata"].is_object()) return 0;
  const std::string name = muster::text_at(config, "kind");
  const KindPtr kind = name == "Pod"       ? kBuiltin.preferred("pods")
                       : name == "Service" ? kBuiltin.preferred("services")
                                           : muster::fuzz::thing_kinds().front();
  const std::string undeclared = undeclared_field(config, *kind->schema);
  const auto applied = apply_config(*kind, live, config, "fuzz", "", true);
  MUSTER_CHECK(applied.has_value());  // force: there are no conflicts
  if (undeclared.empty()) {
    const auto again = apply_config(*kind, applied->object, config, "fuzz", "", false);
    MUSTER_CHECK(again.has_value() && !again->changed);
  }
  Json object = applied->object;
  stamp_apply(object, "fuzz", "", muster::WallTime());
  record_update(*kind, &live, object, "other", "", muster::WallTime());
  return 0;
}
