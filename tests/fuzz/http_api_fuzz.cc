// tests/fuzz/http_api_fuzz.cc: requests, as a client would write them, through the whole API. Parts are
// requests: "METHOD TARGET", header lines, an empty line, the body.
#include "local/api/controllers.h"
#include "local/api/crd.h"
#include "local/api/http_api.h"
#include "local/api/yaml.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/things.h"

namespace muster::local {
namespace {

bool read_request(std::string_view text, HttpRequest& request) {
  const auto line = [&text] {
    const auto end = text.find('\n');
    const std::string_view first = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return first;
  };
  const std::string_view start = line();
  const auto space = start.find(' ');
  if (space == std::string_view::npos) return false;
  request.method = start.substr(0, space);
  for (auto header = line(); !header.empty(); header = line()) {
    const auto colon = header.find(": ");
    if (colon != std::string_view::npos)
      request.headers[std::string(header.substr(0, colon))] = header.substr(colon + 2);
  }
  request.body = text;
  return parse_target(start.substr(space + 1), request.path, request.query);
}

// A refusal says why; an internal error means that some code met a value which it did not expect.
void check_answer(const HttpResponse& answer) {
  MUSTER_CHECK(answer.status >= 200 && answer.status < 600);
  if (answer.status >= 400 && answer.content_type == "application/json") {
    const Json status = Json::parse(answer.body);
    MUSTER_CHECK(status["kind"] == "Status" && status.value("reason", Json()) != "InternalError");
  }
  if (!answer.stream) return;
  std::string piece;
  (void)answer.stream->pull(piece);
}

class Server {
 public:
  Server() {
    kinds_.set_custom("things.example.dev", fuzz::thing_kinds());
    rest_.set_hooks(&controllers_);
    controllers_.start();
  }
  ~Server() {
    api_.close();
    store_.close();
    controllers_.stop();
  }
  HttpResponse handle(const HttpRequest& request) { return api_.handle(request); }

 private:
  ObjectStore store_;
  Kinds kinds_;
  Rest rest_{store_, kinds_};
  Controllers controllers_{store_, kinds_, rest_, std::chrono::seconds(3600)};
  HttpApi api_{store_, kinds_, rest_, {}};
};

}  // namespace
}  // namespace muster::local

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  muster::local::Server server;
  for (const std::string& part : muster::fuzz::parts(muster::fuzz::text_of(data, size))) {
    muster::local::HttpRequest request;
    if (muster::local::read_request(part, request)) muster::local::check_answer(server.handle(request));
  }
  return 0;
}
