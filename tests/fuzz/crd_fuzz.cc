// tests/fuzz/crd_fuzz.cc: any CustomResourceDefinition (YAML), and an object (JSON) of the kinds that come of
// it.
#include "common/json/read_json.h"
#include "local/api/crd.h"
#include "local/api/http_message.h"
#include "local/api/openapi.h"
#include "local/api/table.h"
#include "local/api/yaml.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace muster::local;

void judge(const Kind& kind, muster::Json object) {
  std::vector<std::string> unknown;
  prune(object, *kind.schema, unknown);
  drop_nulls(object, *kind.schema);
  apply_defaults(object, *kind.schema);
  FieldErrors errors;
  validate_schema(object, *kind.schema, "", errors);
  std::vector<std::string> warnings;
  if (!blocks_rules(errors)) validate_rules(object, nullptr, *kind.schema, errors, warnings);
  (void)table_row(kind, object, IncludeObject::kNone, muster::WallTime());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 2);
  auto crd = parse_yaml(texts[0]);
  if (!crd || !crd->is_object() || !crd->contains("spec") || !(*crd)["spec"].is_object()) return 0;
  default_crd(*crd);
  if (!validate_crd(*crd, nullptr).empty()) return 0;
  (void)establish_crd(*crd, KindTable({}), muster::WallTime());
  const auto kinds = kinds_of_crd(*crd);
  const KindTable table(kinds);
  const muster::Json object = muster::read_json(texts[1]);
  for (const KindPtr& kind : kinds) {
    if (object.is_object()) judge(*kind, object);
    (void)table_columns(*kind);
    HttpRequest request{"GET", "/openapi/v3/apis/" + kind->api_version(), {}, {}, ""};
    MUSTER_CHECK(muster::Json::accept(openapi_v3(table, request).body));
  }
  return 0;
}
