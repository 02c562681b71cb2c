// tests/fuzz/selector_fuzz.cc: selectors, continue tokens and other parameters of a list. Parts: the label
// selector, the field selector, the continue token before base64, the limit.
#include <algorithm>

#include "common/base/base64.h"
#include "local/api/http_api.h"
#include "local/api/selectors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/things.h"

namespace {

using namespace muster::local;

struct Shelf {  // a few things to select among
  ObjectStore store;
  Kinds kinds;
  Rest rest{store, kinds};
  HttpApi api{store, kinds, rest, {}};
  Shelf() {
    kinds.set_custom("things.example.dev", muster::fuzz::thing_kinds());
    for (int i = 0; i < 4; ++i)
      MUSTER_CHECK(
          store
              .create("things.example.dev", Json{{"apiVersion", "example.dev/v1"},
                                                 {"kind", "Thing"},
                                                 {"metadata",
                                                  {{"name", "t" + std::to_string(i)},
                                                   {"namespace", i % 2 == 0 ? "default" : "other"},
                                                   {"labels", {{"a", std::to_string(i)}, {"tier", "web"}}}}},
                                                 {"spec", {{"owner", "me"}}}})
              .has_value());
  }
  using Json = muster::Json;
};

// As a continue token is written: for URLs, without padding.
std::string token_of(std::string_view bytes) {
  std::string token = muster::base64_encode(bytes);
  std::replace(token.begin(), token.end(), '+', '-');
  std::replace(token.begin(), token.end(), '/', '_');
  token.erase(std::find(token.begin(), token.end(), '='), token.end());
  return token;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Shelf shelf;
  const auto texts = muster::fuzz::parts(muster::fuzz::text_of(data, size), 4);
  HttpRequest request;
  request.method = "GET";
  request.path = "/apis/example.dev/v1/things";
  request.query = {{"labelSelector", texts[0]}, {"fieldSelector", texts[1]}};
  if (!texts[2].empty()) request.query.emplace_back("continue", token_of(texts[2]));
  if (!texts[3].empty()) request.query.emplace_back("limit", texts[3]);
  for (const bool table : {false, true}) {
    if (table) request.headers["accept"] = "application/json;as=Table;v=v1;g=meta.k8s.io";
    const HttpResponse answer = shelf.api.handle(request);
    MUSTER_CHECK(answer.status == 200 || answer.status == 400 || answer.status == 410 ||
                 answer.status == 422 || answer.status == 504);
    MUSTER_CHECK(muster::Json::accept(answer.body));
  }
  return 0;
}
