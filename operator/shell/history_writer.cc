// operator/shell/history_writer.cc: the ConfigMap with the records of a namespace's ended objects
#include "operator/shell/history_writer.h"

#include "common/json/access.h"
#include "common/spec/history.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

const kube::Resource kConfigMaps{"", "v1", "configmaps", true, "ConfigMap"};

}  // namespace

Result<Json> HistoryWriter::merge(const std::string& ns, const Json& data) {
  return client_.patch(kConfigMaps, ns, spec::kHistoryConfigMap, kube::PatchType::kMerge, {{"data", data}},
                       {.subresource = {}, .field_manager = "muster", .force = false});
}

Result<Json> HistoryWriter::create(const std::string& ns, const Json& data) {
  return client_.create(
      kConfigMaps, ns,
      {{"apiVersion", "v1"},
       {"kind", "ConfigMap"},
       {"metadata",
        {{"name", spec::kHistoryConfigMap}, {"namespace", ns}, {"labels", {{kManagedByLabel, kManagedBy}}}}},
       {"data", data}});
}

Status HistoryWriter::write(const std::string& ns, const RecordHistory& what, WallTime now) {
  const Json data{{what.key, what.record.dump(-1, ' ', false, Json::error_handler_t::replace)}};
  Result<Json> written = merge(ns, data);
  if (!written && written.error().code == Code::kNotFound) {
    written = create(ns, data);
    if (!written && written.error().code == Code::kAlreadyExists) written = merge(ns, data);
  }
  if (!written) return written.error().in("history of ended objects");
  Json gone = Json::object();
  for (const std::string& key : excess_records(member(*written, "data"), limits_, now)) gone[key] = nullptr;
  // If it fails, the next record finds them again.
  if (!gone.empty()) static_cast<void>(merge(ns, gone));
  return {};
}

}  // namespace muster::op
