// pod/assignment_difference.cc: protobuf's comparison, and that of the specs with their defaults filled in
#include "pod/assignment_difference.h"

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/json/read_json.h"
#include "common/spec/distributed_job.h"
#include "common/spec/federated_round.h"

namespace muster {
namespace {

using control::v1::Assignment;

// What an assignment asks for: the spec with its defaults, and with every field written out, so that one can
// be named.
struct Asked {
  std::optional<spec::DistributedJobSpec> job;
  std::optional<spec::FederatedRoundSpec> round;
  Json written;  // null if the spec is none that this program can read
  friend bool operator==(const Asked& one, const Asked& other) {
    return one.job == other.job && one.round == other.round;
  }
};

Asked asked_by(const Assignment& message) {
  Asked asked;
  const Json json = read_json(message.spec());
  if (message.has_worker()) {
    auto job = spec::distributed_job_from_json(json);
    if (!job || !job->training) return asked;
    asked.written = {{"training", to_json(*job->training)},
                     {"synchronization", to_json(job->synchronization)},
                     {"compression", to_json(job->compression)},
                     {"security", to_json(job->security)}};
    asked.job = *std::move(job);
    return asked;
  }
  auto round = spec::federated_round_from_json(json);
  if (!round) return asked;
  asked.written = to_json(round->federation);
  asked.round = *std::move(round);
  return asked;
}

// The path of the first difference between two values, of which `at` is the path; they do differ, if not in
// what is written out.
std::string first_difference(const Json& one, const Json& other, const std::string& at) {
  if (!one.is_object() || !other.is_object() || one == other) return at;
  for (const auto& [key, field] : one.items()) {
    const auto found = other.find(key);
    if (found == other.end()) return fmt::format("{}.{}", at, key);
    if (*found != field) return first_difference(field, *found, fmt::format("{}.{}", at, key));
  }
  for (const auto& [key, field] : other.items())
    if (!one.contains(key)) return fmt::format("{}.{}", at, key);
  return at;
}

// Without what is compared otherwise, or not at all.
Assignment plain(Assignment message) {
  message.DiscardUnknownFields();
  message.clear_pod_uid();
  message.clear_spec();
  return message;
}

}  // namespace

std::optional<std::string> difference(const Assignment& taken, const Assignment& again) {
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;  // lines like "modified: worker.rank: 1 -> 2"
  differencer.ReportDifferencesToString(&report);
  if (!differencer.Compare(plain(taken), plain(again))) {
    const std::size_t begin = report.find(": ") + 2;
    return report.substr(begin, report.find(": ", begin) - begin);
  }
  if (taken.spec() == again.spec()) return std::nullopt;
  const Asked one = asked_by(taken);
  const Asked other = asked_by(again);
  if (one == other && !one.written.is_null()) return std::nullopt;
  return first_difference(one.written, other.written, "spec");
}

}  // namespace muster
