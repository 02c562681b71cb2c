// tests/fuzz/cel_fuzz.cc: CEL rules. Parts: the expression, a JSON value for self, one for oldSelf. The
// expression is judged with the types of a schema, and without any.
#include "common/json/read_json.h"
#include "local/api/cel/program.h"
#include "local/api/yaml.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace muster::local;

const Schema& typed() {
  static const SchemaPtr kSchema = [] {
    FieldErrors errors;
    auto schema = compile_schema(parse_yaml(R"(
type: object
properties:
  a: {type: integer}
  b: {type: array, items: {type: integer}}
  d: {type: number}
  s: {type: string}
  m: {type: object, additionalProperties: {type: object, properties: {n: {type: integer}}}}
  items:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [name]
    items: {type: object, properties: {name: {type: string}, w: {type: integer}}}
  set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
  time: {type: string, format: date-time}
  span: {type: string, format: duration}
  bytes: {type: string, format: byte}
  port: {x-kubernetes-int-or-string: true}
  free: {type: object, x-kubernetes-preserve-unknown-fields: true}
)")
                                     .value(),
                                 "", errors);
    MUSTER_CHECK(errors.empty());
    return schema;
  }();
  return *kSchema;
}

// As the server does it: what does not fit the schema is not judged by rules.
bool fits(const muster::Json& value, const Schema* schema) {
  if (value.is_discarded()) return false;
  FieldErrors errors;
  if (schema != nullptr) validate_schema(value, *schema, "", errors);
  return errors.empty();
}

void judge(const std::string& rule, const muster::Json& self, const muster::Json& old, const Schema* schema) {
  for (const char* result : {"bool", "string"}) {
    const auto program = cel::Program::compile(rule, cel::Scope{schema, false}, result);
    if (!program) MUSTER_CHECK(!program.error().message.empty());
    if (!program || !fits(self, schema)) continue;
    const auto value = cel::Value::of_json(self, schema);
    const auto before = fits(old, schema) ? cel::Value::of_json(old, schema) : cel::Value();
    cel::Budget budget;
    const auto answer = (*program)->evaluate(value, fits(old, schema) ? &before : nullptr, budget);
    if (!answer) MUSTER_CHECK(!answer.error().message.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 3);
  const muster::Json self = muster::read_json(texts[1]);
  const muster::Json old = muster::read_json(texts[2]);
  judge(texts[0], self, old, nullptr);
  judge(texts[0], self, old, &typed());
  return 0;
}
