#pragma once  // operator/core/progress_report.h: what a program of the user's own tells of its progress, by
              // Kubeflow's protocol (KEP-2779): request to answer, and report to status.progress. Pure
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/json/fields.h"

namespace muster::op {

struct Pass;

inline constexpr std::size_t kReportBytesMax = 64 * 1024;  // as in Kubeflow's server
inline constexpr std::size_t kReportMetricsMax = 256;      // as in its CRD
inline constexpr std::size_t kReportTextMax = 64;          // characters of a metric's name, and of its value

// Whose progress it is. The pods are given it as a URL, which they take as it is: so it tells the object's
// uid, by which the sender's token is checked before anybody looks for the object, and the incarnation, so
// that what a pod on its way out still tells counts no more.
struct ReportTarget {
  std::string ns, name, uid;
  std::int64_t incarnation = 0;
  friend bool operator==(const ReportTarget&, const ReportTarget&) = default;
};
[[nodiscard]] std::string report_path(const ReportTarget& target);
[[nodiscard]] std::optional<ReportTarget> parse_report_path(std::string_view path);

struct ProgressReport {
  std::int64_t incarnation = 0;
  std::optional<std::int64_t> percent, seconds_left;
  std::vector<std::pair<std::string, std::string>> metrics;  // name and value, as they came
  friend bool operator==(const ProgressReport&, const ProgressReport&) = default;
};
// By the rules of Kubeflow's server and CRD, less control characters. nullopt: it tells nothing, which is
// allowed. Error: kInvalidArgument, with the field.
[[nodiscard]] Result<std::optional<ProgressReport>> read_report(std::string_view body);

struct ReportAnswer {
  int code = 200;
  std::string_view refusal{};  // one of kReportRefusals; empty: taken
  std::string body{};          // JSON
};
// Why a request is refused, besides what is no request at all (kHttpRefusals).
inline constexpr std::string_view kReportRefusals[] = {
    "path",     // 404, 405: not where, or how, progress is told
    "token",    // 403
    "invalid",  // 422: the body
    "unknown",  // 404: there is no such object (any more)
    "over",     // 409: its incarnation, or the object itself, has ended
    "leader",   // 503: nobody leads, or the leader cannot be reached
};
[[nodiscard]] ReportAnswer refuse_report(std::string_view refusal, int code, const std::string& message);

// The first half, which every replica decides. `authorization`: the header of that name; `proves`: whether
// this is the token of the object with that uid.
struct Sender {
  std::optional<ReportTarget> target;  // absent: `refused`
  ReportAnswer refused;
};
using Proves = std::function<bool(const std::string& uid, std::string_view token)>;
[[nodiscard]] Sender check_sender(std::string_view method, std::string_view path,
                                  std::string_view authorization, const Proves& proves);

// The second half, for the replica that leads. `object`: the DistributedJob of that name, null: there is
// none. `report`: what to fold into its status, if it was taken and tells something.
[[nodiscard]] ReportAnswer take_report(const ReportTarget& target, std::string_view body, const Json& object,
                                       std::optional<ProgressReport>& report);

// Folds Observed::report into status.progress, unless it is of another incarnation.
void fold_report(Pass& pass);

}  // namespace muster::op
