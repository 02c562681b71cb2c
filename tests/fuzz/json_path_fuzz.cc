// tests/fuzz/json_path_fuzz.cc: JSONPath of printer columns. Parts: the path, a JSON value.
#include "common/json/read_json.h"
#include "local/api/json_path.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::local;
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 2);
  muster::Json value = muster::read_json(texts[1]);
  if (value.is_discarded()) return 0;
  if (const auto path = JsonPath::compile(texts[0])) (void)path->find(value);
  const muster::Json* before = find_path(value, texts[0]);
  if (before != nullptr) MUSTER_CHECK(!before->is_discarded());
  if (texts[0].size() > 512) return 0;  // a definition with a longer one is refused
  set_path(value, texts[0], 7);
  MUSTER_CHECK(!muster::nested_too_deep(value));
  return 0;
}
