// operator/core/progress_report.cc: the path, the token's place, the body, and what becomes of it
#include "operator/core/progress_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "common/base/rfc3339.h"
#include "common/base/text.h"
#include "common/json/access.h"
#include "common/json/read_json.h"
#include "operator/core/pass.h"
#include "operator/core/progress.h"

namespace muster::op {
namespace {

constexpr std::string_view kPrefix = "/apis/muster.dev/v1alpha1/namespaces/";
constexpr std::string_view kKind = "distributedjobs";
constexpr std::string_view kSchema = "Bearer ";
constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr const char* kStatus = "trainerStatus";

// Metrics by which Hugging Face's Trainer tells what status.progress has a field for.
struct KnownMetric {
  std::string_view name, field;
  bool whole;
};
constexpr std::array<KnownMetric, 6> kKnownMetrics{{{"current_step", "step", true},
                                                    {"total_steps", "totalSteps", true},
                                                    {"current_epoch", "epoch", false},
                                                    {"loss", "loss", false},
                                                    {"eval_loss", "testLoss", false},
                                                    {"eval_accuracy", "accuracy", false}}};

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

std::string_view take_part(std::string_view& path) {
  const auto slash = path.find('/');
  const std::string_view part = path.substr(0, slash);
  path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  return part;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

Status check_text(const Json& metric, const char* field, const std::string& path, std::string& out) {
  const Json& value = member(metric, field);
  const std::string at = fmt::format("{}.{}", path, field);
  if (!value.is_string())
    return invalid_argument(value.is_null() ? at + ": required" : at + ": must be a string");
  out = value.get<std::string>();
  if (out.empty() || characters(out) > kReportTextMax)
    return invalid_argument(fmt::format("{}: must have 1 to {} characters", at, kReportTextMax));
  if (printable(out) != out || out.find('\t') != std::string::npos)
    return invalid_argument(at + ": has control characters");
  return {};
}

Status read_metrics(const Json& status, ProgressReport& report) {
  const Json& metrics = member(status, "metrics");
  const std::string path = fmt::format("{}.metrics", kStatus);
  if (metrics.is_null()) return {};
  if (!metrics.is_array()) return invalid_argument(path + ": must be a list");
  if (metrics.size() > kReportMetricsMax)
    return invalid_argument(
        fmt::format("{}: has {} entries, at most {} are taken", path, metrics.size(), kReportMetricsMax));
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", path, i);
    if (!metrics[i].is_object()) return invalid_argument(at + ": must be an object of name and value");
    auto& [name, value] = report.metrics.emplace_back();
    MUSTER_TRY(check_text(metrics[i], "name", at, name));
    MUSTER_TRY(check_text(metrics[i], "value", at, value));
  }
  return {};
}

Status read_integer(const Json& status, const char* field, std::int64_t most,
                    std::optional<std::int64_t>& out) {
  const Json& value = member(status, field);
  if (value.is_null()) return {};
  const bool whole = value.is_number_integer();
  const bool fits = whole && (!value.is_number_unsigned() ||
                              value.get<std::uint64_t>() <= static_cast<std::uint64_t>(most));
  if (!fits || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() > most)
    return invalid_argument(fmt::format("{}.{}: must be a whole number from 0 to {}", kStatus, field, most));
  out = value.get<std::int64_t>();
  return {};
}

Status read_time(const Json& status) {
  const Json& time = member(status, "lastUpdatedTime");
  const std::string at = fmt::format("{}.lastUpdatedTime", kStatus);
  if (time.is_null()) return invalid_argument(at + ": required");
  if (!time.is_string() || !parse_rfc3339(time.get<std::string>()))
    return invalid_argument(at + ": must be a time as 2026-01-02T03:04:05Z");
  return {};
}

// A figure that is none, or none that JSON has a form for, stays a metric only.
void tell_known(const ProgressReport& report, Json& progress) {
  for (const KnownMetric& known : kKnownMetrics) {
    const auto found =
        std::ranges::find(report.metrics, known.name, &std::pair<std::string, std::string>::first);
    if (found == report.metrics.end()) continue;
    const std::string& text = found->second;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) continue;
    const std::string field(known.field);
    if (known.whole) {
      if (value >= 0 && value < 9e15 && value == std::floor(value))
        progress[field] = static_cast<std::int64_t>(value);
    } else if ((known.field != "accuracy" || (value >= 0 && value <= 1)) &&
               (known.field != "epoch" || value >= 0)) {
      progress[field] = rounded(value, 4);
    }
  }
}

std::string reason_of(int code) {
  switch (code) {
    case 403: return "Forbidden";
    case 404: return "NotFound";
    case 405: return "MethodNotAllowed";
    case 409: return "Conflict";
    case 422: return "Invalid";
    default: return "ServiceUnavailable";
  }
}

}  // namespace

std::string report_path(const ReportTarget& target) {
  return fmt::format("{}{}/{}/{}/progress/{}/{}", kPrefix, target.ns, kKind, target.name, target.uid,
                     target.incarnation);
}

std::optional<ReportTarget> parse_report_path(std::string_view path) {
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  ReportTarget target;
  target.ns = take_part(path);
  const bool kind = take_part(path) == kKind;
  target.name = take_part(path);
  const bool progress = take_part(path) == "progress";
  target.uid = take_part(path);
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), target.incarnation);
  const bool number = error == std::errc() && end == path.data() + path.size() && target.incarnation > 0;
  if (!kind || !progress || !number || !is_name(target.ns) || !is_name(target.name) || !is_name(target.uid))
    return std::nullopt;
  return target;
}

namespace {

Result<Json> request_in(std::string_view body) {
  Json request = read_json(body);
  if (request.is_discarded()) return invalid_argument("the body is not JSON");
  if (!request.is_object())
    return invalid_argument(fmt::format("the body must be an object with {}", kStatus));
  return request;
}

Result<std::optional<ProgressReport>> report_in(const Json& request) {
  const Json& status = member(request, kStatus);
  if (status.is_null()) return std::optional<ProgressReport>();
  if (!status.is_object()) return invalid_argument(fmt::format("{}: must be an object", kStatus));
  ProgressReport report;
  MUSTER_TRY(read_integer(status, "progressPercentage", 100, report.percent));
  MUSTER_TRY(read_integer(status, "estimatedRemainingSeconds", kInt32Max, report.seconds_left));
  MUSTER_TRY(read_metrics(status, report));
  MUSTER_TRY(read_time(status));
  return std::optional(std::move(report));
}

}  // namespace

Result<std::optional<ProgressReport>> read_report(std::string_view body) {
  MUSTER_ASSIGN(const Json request, request_in(body));
  return report_in(request);
}

ReportAnswer refuse_report(std::string_view refusal, int code, const std::string& message) {
  const Json status{{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
                    {"status", "Failure"}, {"message", message}, {"reason", reason_of(code)},
                    {"code", code}};
  return {.code = code, .refusal = refusal, .body = status.dump() + "\n"};
}

Sender check_sender(std::string_view method, std::string_view path, std::string_view authorization,
                    const Proves& proves) {
  const auto target = parse_report_path(path);
  if (!target)
    return {{}, refuse_report("path", 404, "progress is told at the URL in KUBEFLOW_TRAINER_SERVER_URL")};
  if (method != "POST") return {{}, refuse_report("path", 405, "progress is told by POST")};
  if (!authorization.starts_with(kSchema) || !proves(target->uid, authorization.substr(kSchema.size()))) {
    return {
        {},
        refuse_report("token", 403,
                      "the token is not this object's: send \"Authorization: Bearer\" with the content of "
                      "the file in KUBEFLOW_TRAINER_SERVER_TOKEN")};
  }
  return {target, {}};
}

ReportAnswer take_report(const ReportTarget& target, std::string_view body, const Json& object,
                         std::optional<ProgressReport>& report) {
  const Result<Json> request = request_in(body);
  auto told = request ? report_in(*request) : Result<std::optional<ProgressReport>>(request.error());
  if (!told) return refuse_report("invalid", 422, told.error().message);
  if (object.is_null() || meta_text(object, "uid") != target.uid) {
    return refuse_report("unknown", 404, fmt::format("DistributedJob {}/{} is gone", target.ns, target.name));
  }
  const api::JobStatus status = api::status_from_json(member(object, "status"));
  const std::int64_t incarnation = std::max<std::int64_t>(status.incarnation, 1);
  if (status.finished() || incarnation > target.incarnation) {
    return refuse_report(
        "over", 409,
        status.finished()
            ? "the job has ended"
            : fmt::format("incarnation {} is over: the job has started anew, and is in incarnation {}",
                          target.incarnation, incarnation));
  }
  Json echo = Json::object();
  if (*told) {
    echo[kStatus] = member(*request, kStatus);
    report = *std::move(told);
    report->incarnation = target.incarnation;
  }
  return {.body = echo.dump() + "\n"};
}

void fold_report(Pass& pass) {
  const auto& report = pass.seen.report;
  if (!report || report->incarnation != pass.before.incarnation) return;
  Json progress = Json::object();
  if (report->percent) progress["percent"] = *report->percent;
  if (report->seconds_left && report->percent.value_or(0) < 100)
    progress["timeLeft"] = duration_words(*report->seconds_left);
  tell_known(*report, progress);
  for (const auto& [name, value] : report->metrics)
    progress["metrics"].push_back({{"name", name}, {"value", value}});
  pass.after.progress = std::move(progress);
}

}  // namespace muster::op
