// pod/assignment_difference.cc: protobuf's comparison, over specs whose defaults are filled in
#include "pod/assignment_difference.h"

#include <google/protobuf/util/message_differencer.h>

#include "common/json/read_json.h"
#include "common/spec/federation.h"
#include "common/spec/training.h"

namespace muster {
namespace {

using control::v1::Assignment;

// With every field of the spec written out; a text that is no spec stays as it is.
template <typename Spec>
std::string filled_in(const std::string& text, Result<Spec> (*read)(const Json&, const std::string&)) {
  const Result<Spec> spec = read(read_json(text), "spec");
  return spec ? to_json(*spec).dump() : text;
}

Assignment plain(Assignment message) {
  message.DiscardUnknownFields();
  message.clear_pod_uid();
  if (message.has_worker()) {
    auto& part = *message.mutable_worker();
    part.set_training(filled_in(part.training(), spec::training_from_json));
    part.set_synchronization(filled_in(part.synchronization(), spec::synchronization_from_json));
  } else if (message.has_aggregator()) {
    auto& part = *message.mutable_aggregator();
    part.set_federation(filled_in(part.federation(), spec::federation_from_json));
  } else if (message.has_client()) {
    auto& part = *message.mutable_client();
    part.set_federation(filled_in(part.federation(), spec::federation_from_json));
  }
  return message;
}

}  // namespace

std::optional<std::string> difference(const Assignment& taken, const Assignment& again) {
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;  // lines like "modified: worker.rank: 1 -> 2"
  differencer.ReportDifferencesToString(&report);
  if (differencer.Compare(plain(taken), plain(again))) return std::nullopt;
  const std::size_t begin = report.find(": ") + 2;
  return report.substr(begin, report.find(": ", begin) - begin);
}

}  // namespace muster
