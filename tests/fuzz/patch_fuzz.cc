// tests/fuzz/patch_fuzz.cc: every kind of patch. Parts: the object, the patch; both JSON.
#include "common/json/read_json.h"
#include "local/api/kind.h"
#include "local/api/patch.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using muster::Json;
  static const muster::local::KindPtr kPods =
      muster::local::KindTable(muster::local::builtin_kinds()).preferred("pods");
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 2);
  const Json object = muster::read_json(texts[0]);
  const Json patch = muster::read_json(texts[1]);
  if (object.is_discarded() || patch.is_discarded()) return 0;
  Json merged = object;
  muster::local::merge_patch(merged, patch);
  Json again = merged;
  muster::local::merge_patch(again, patch);
  MUSTER_CHECK(again == merged);  // RFC 7386: a merge patch is idempotent
  Json edited = object;
  (void)muster::local::json_patch(edited, patch);
  MUSTER_CHECK(!muster::nested_too_deep(edited));
  if (!object.is_object()) return 0;
  Json strategic = object;
  (void)muster::local::strategic_merge_patch(strategic, patch, *kPods->schema);
  (void)strategic.dump(-1, ' ', false, Json::error_handler_t::replace);
  return 0;
}
