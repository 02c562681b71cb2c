#pragma once  // local/api/http_call.h: what the parts of HttpApi share about one request (private to
              // http_*.cc)
#include "local/api/http_api.h"
#include "local/api/metadata.h"

namespace muster::local {

struct HttpApi::Call {
  const HttpRequest& request;
  const RequestTarget& target;
  const User& user;
  std::shared_ptr<const KindTable> table;
  KindPtr kind;
  Format format;
  WriteOptions options;
  std::vector<std::string> warnings;

  // The answer with one object; `status` 201 for a new one.
  [[nodiscard]] HttpResponse object(const Json& json, int status = 200) const {
    HttpResponse response;
    response.status = status;
    response.body = render_object(*kind, json, format);
    return response;
  }
};

// Of a body that is no object of the kind, `why`; shows its beginning.
[[nodiscard]] ApiError unrecognized_body(const HttpRequest& request, const Kind& kind,
                                         const std::string& why);
// The body as JSON, whatever its media type; 400 and 415 with the real server's words.
[[nodiscard]] ApiResult<Json> decode_body(const HttpRequest& request, const Kind& kind, bool patch_yaml);
[[nodiscard]] ApiResult<Json> decode_delete_options(const HttpRequest& request);
[[nodiscard]] HttpResponse error_response(const ApiError& error, const HttpRequest& request);
// 406 if one object is wanted in the form of a list, or a list in the form of one object.
[[nodiscard]] ApiStatus check_partial(const Kind& kind, const Format& format, bool list);
// Turns a body of JSON into YAML.
void write_yaml(HttpResponse& response);
[[nodiscard]] HttpResponse json_response(const Json& json, const HttpRequest& request, int status = 200);
[[nodiscard]] ApiResult<WriteOptions> write_options(const HttpRequest& request, bool trusted);
[[nodiscard]] ApiResult<DeleteOptions> delete_options(const HttpRequest& request);
// False if the path is none of a resource.
[[nodiscard]] bool parse_resource_path(const std::string& path, RequestTarget& target);

}  // namespace muster::local
