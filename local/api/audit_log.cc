// local/api/audit_log.cc: audit events as lines of JSON
#include "local/api/audit_log.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "common/base/rfc3339.h"
#include "common/json/read_json.h"
#include "local/api/formats.h"
#include "local/api/http_api.h"
#include "local/api/http_call.h"

namespace muster::local {
namespace {

std::string uri_of(const HttpRequest& request) {
  std::string out = request.path;
  char before = '?';
  for (const auto& [name, value] : request.query)
    out += fmt::format("{}{}={}", std::exchange(before, '&'), name, value);
  return out;
}

// What the request is about; a new object has its name in the body.
Json object_reference(const HttpRequest& request, const RequestTarget& target, const Access& access) {
  Json out{{"resource", target.plural}, {"apiVersion", target.version}};
  std::string name = access.name;
  if (access.verb == "create" && name.empty()) name = meta_text(read_json(request.body), "name");
  for (const auto& [member, value] :
       {std::pair("namespace", access.ns), std::pair("name", name), std::pair("apiGroup", target.group),
        std::pair("subresource", target.subresource)})
    if (!value.empty()) out[member] = value;
  return out;
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::open(const std::filesystem::path& file) {
  FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return failed_precondition(
        fmt::format("cannot write the audit log {}: {}; name a file in a folder of yours", file.string(),
                    std::strerror(errno)));
  }
  return std::unique_ptr<AuditLog>(new AuditLog(std::move(fd)));
}

void AuditLog::write(const Entry& entry) {
  const HttpRequest& request = entry.request;
  RequestTarget target;
  const bool about_object = parse_resource_path(request.path, target);
  std::string verb = about_object ? entry.access.verb : request.method;
  for (char& c : verb) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  Json event{{"kind", "Event"},
             {"apiVersion", "audit.k8s.io/v1"},
             {"level", "Metadata"},
             {"auditID", new_uid()},
             {"stage", entry.response.stream ? "ResponseStarted" : "ResponseComplete"},
             {"requestURI", uri_of(request)},
             {"verb", verb},
             {"user", entry.user.json()},
             {"userAgent", request.header("user-agent")},
             {"responseStatus", {{"metadata", Json::object()}, {"code", entry.response.status}}},
             {"requestReceivedTimestamp", rfc3339_micro(entry.received)},
             {"stageTimestamp", rfc3339_micro(std::chrono::system_clock::now())},
             {"annotations", {{"authorization.k8s.io/decision", entry.allowed ? "allow" : "forbid"}}}};
  if (about_object) event["objectRef"] = object_reference(request, target, entry.access);
  const std::string line = event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const MutexLock lock(mutex_);
  (void)!::write(file_.get(), line.data(), line.size());
}

}  // namespace muster::local
