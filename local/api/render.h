#pragma once  // local/api/render.h: the form in which a client wants objects: plain, a table, or metadata
              // only
#include <string>
#include <string_view>

#include "local/api/api_error.h"
#include "local/api/http_message.h"
#include "local/api/kind.h"
#include "local/api/object_store.h"
#include "local/api/table.h"

namespace muster::local {

struct Format {
  enum class Kind { kPlain, kTable, kPartial, kPartialList };
  Kind kind = Kind::kPlain;
  IncludeObject include = IncludeObject::kMetadata;
  bool pretty = false;
  bool yaml = false;           // the body is to be YAML
  std::string version = "v1";  // of meta.k8s.io, for tables and partial metadata

  [[nodiscard]] std::string meta_version() const { return "meta.k8s.io/" + version; }
  [[nodiscard]] bool partial() const { return kind == Kind::kPartial || kind == Kind::kPartialList; }
};

// From Accept and includeObject; 406 if none of the types can be served (content_negotiation.cc).
[[nodiscard]] ApiResult<Format> choose_format(const HttpRequest& request);

// The object's JSON as of the version of the API that was asked for.
[[nodiscard]] std::string object_text(const Kind& kind, const StoredObject& object);
[[nodiscard]] std::string render_object(const Kind& kind, const Json& object, const Format& format);
// One line of a watch, with its newline. `first`: tables describe their columns once.
[[nodiscard]] std::string render_event(const Kind& kind, std::string_view type, const StoredObject& object,
                                       const Format& format, bool first);
[[nodiscard]] std::string render_bookmark(const Kind& kind, std::uint64_t version, const Format& format,
                                          bool initial_events_end);
[[nodiscard]] std::string render_error_event(const ApiError& error);

struct ListMeta {
  std::uint64_t version = 0;
  std::string next;  // continue
  std::optional<std::int64_t> remaining;
};
[[nodiscard]] std::string render_list(const Kind& kind, const std::vector<ObjectPtr>& objects,
                                      const ListMeta& meta, const Format& format);

}  // namespace muster::local
