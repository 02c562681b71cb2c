// tests/fuzz/cel_fuzz.cc: CEL rules. Parts: the expression, a JSON value for self, one for oldSelf.
#include "common/json/read_json.h"
#include "local/api/cel/program.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::local;
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 3);
  const auto program = cel::Program::compile(texts[0], {"self", "oldSelf"});
  if (!program) {
    MUSTER_CHECK(!program.error().message.empty());
    return 0;
  }
  const muster::Json self = muster::read_json(texts[1]);
  const muster::Json old = muster::read_json(texts[2]);
  if (self.is_discarded()) return 0;
  cel::Budget budget;
  const auto value =
      (*program)->evaluate({{"self", &self}, {"oldSelf", old.is_discarded() ? nullptr : &old}}, budget);
  if (value) (void)value->dump(-1, ' ', false, muster::Json::error_handler_t::replace);
  return 0;
}
