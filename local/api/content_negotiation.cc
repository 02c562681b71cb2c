// local/api/content_negotiation.cc: which form of an answer the Accept header asks for
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "local/api/render.h"

namespace muster::local {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes what stands before `separator` off the front of `text`.
std::string_view take(std::string_view& text, char separator) {
  const std::string_view part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return trimmed(part);
}

struct Clause {  // "application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9"
  std::string_view type, as, group, version;
  double quality = 1;
  bool pretty = false;
  int specific = 0;  // of two that are liked as much, the one that names more comes first
};

Clause parse_clause(std::string_view text) {
  Clause clause;
  clause.type = take(text, ';');
  clause.specific = clause.type == "*/*" ? 0 : clause.type.find("/*") != std::string_view::npos ? 1 : 2;
  while (!text.empty()) {
    std::string_view value = take(text, ';');
    const std::string_view name = take(value, '=');
    if (name == "as") clause.as = value;
    if (name == "g") clause.group = value;
    if (name == "v") clause.version = value;
    if (name == "pretty") clause.pretty = value == "1";
    if (name == "q") {
      clause.quality = 0;
      for (const char c : {'1', '0'})  // "1", "1.0", "0.8": compared by its text's value
        if (!value.empty() && value[0] == c) clause.quality = c - '0';
      if (value.size() > 2 && clause.quality < 1) {
        int digits = 0;
        const std::string_view fraction = value.substr(2, 3);
        std::from_chars(fraction.data(), fraction.data() + fraction.size(), digits);
        for (std::size_t i = fraction.size(); i < 3; ++i) digits *= 10;
        clause.quality = digits / 1000.0;
      }
    }
  }
  return clause;
}

bool serves_json(std::string_view type) {
  return type == "application/json" || type == "*/*" || type == "application/*";
}

bool apply_clause(const Clause& clause, Format& format) {
  format.yaml = clause.type == "application/yaml";
  if (!format.yaml && !serves_json(clause.type)) return false;
  format.pretty = format.pretty || clause.pretty;
  format.kind = Format::Kind::kPlain;
  if (clause.as.empty() && clause.group.empty() && clause.version.empty()) return true;
  if (clause.group != "meta.k8s.io" || (clause.version != "v1" && clause.version != "v1beta1")) return false;
  format.version = std::string(clause.version);
  if (clause.as == "Table")
    format.kind = Format::Kind::kTable;
  else if (clause.as == "PartialObjectMetadata")
    format.kind = Format::Kind::kPartial;
  else if (clause.as == "PartialObjectMetadataList")
    format.kind = Format::Kind::kPartialList;
  else
    return false;
  return true;
}

bool wants_indent(const HttpRequest& request) {
  const std::string_view pretty = request.parameter("pretty");
  if (!pretty.empty())
    return pretty == "1" || pretty == "t" || pretty == "T" || pretty == "true" || pretty == "TRUE" ||
           pretty == "True";
  const std::string_view agent = request.header("user-agent");
  for (const std::string_view tool : {"curl", "Wget", "Mozilla/5.0"})
    if (agent.substr(0, tool.size()) == tool) return true;
  return false;
}

}  // namespace

ApiResult<Format> choose_format(const HttpRequest& request) {
  Format format;
  const std::string_view include = request.parameter("includeObject");
  if (include == "None") format.include = IncludeObject::kNone;
  if (include == "Object") format.include = IncludeObject::kObject;
  format.pretty = wants_indent(request);
  std::string_view accept = request.header("accept");
  if (trimmed(accept).empty()) return format;
  std::vector<Clause> clauses;
  while (!accept.empty()) clauses.push_back(parse_clause(take(accept, ',')));
  std::stable_sort(clauses.begin(), clauses.end(), [](const Clause& a, const Clause& b) {
    return a.quality != b.quality ? a.quality > b.quality : a.specific > b.specific;
  });
  for (const Clause& clause : clauses)
    if (clause.quality > 0 && apply_clause(clause, format)) return format;
  return ApiError{406,
                  "NotAcceptable",
                  "only the following media types are accepted: application/json, application/yaml, "
                  "application/vnd.kubernetes.protobuf",
                  {}};
}

}  // namespace muster::local
