// tests/fuzz/progress_fuzz.cc: requests of programs to the operator: "HEAD\r\n\r\nBODY"
#include "common/platform/http_message.h"
#include "operator/core/progress_report.h"
#include "tests/fuzz/fuzz.h"

using namespace muster;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  static_cast<void>(parse_answer(text));
  const auto end = text.find("\r\n\r\n");
  const auto request = parse_head(text.substr(0, end));
  if (request) {
    std::size_t excess = 0;
    static_cast<void>(body_bytes(*request, op::kReportBytesMax, excess));
    const auto proves = [](const std::string&, std::string_view) { return true; };
    const op::Sender sender =
        op::check_sender(request->method, request->target, request->header("authorization"), proves);
    if (sender.target) MUSTER_CHECK(op::parse_report_path(op::report_path(*sender.target)) == sender.target);
  }
  const std::string_view body = end == std::string_view::npos ? text : text.substr(end + 4);
  const auto report = op::read_report(body);
  if (!report || !*report) return 0;
  MUSTER_CHECK((*report)->percent.value_or(0) >= 0 && (*report)->percent.value_or(0) <= 100);
  MUSTER_CHECK((*report)->metrics.size() <= op::kReportMetricsMax);
  return 0;
}
