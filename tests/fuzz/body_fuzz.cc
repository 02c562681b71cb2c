// tests/fuzz/body_fuzz.cc: bodies of requests. First a line with the media type, then the body.
#include "local/api/http_call.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster::local;
  static const KindPtr kKind = KindTable(builtin_kinds()).preferred("configmaps");
  const std::string_view input = muster::fuzz::text_of(data, size);
  const auto line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  HttpRequest request;
  request.method = "POST";
  request.headers["content-type"] = input.substr(0, line);
  request.body = input.substr(line + 1);
  for (const bool yaml : {false, true}) {
    const auto body = decode_body(request, *kKind, yaml);
    if (!body) continue;
    MUSTER_CHECK(body->is_object());
    const std::string text = body->dump(-1, ' ', false, muster::Json::error_handler_t::replace);
    MUSTER_CHECK(muster::Json::accept(text));
  }
  (void)delete_options(request);
  return 0;
}
