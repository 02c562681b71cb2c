// cli/check_spec.cc: a job's spec, judged by the operator's own reader
#include "cli/check_spec.h"

#include <fmt/format.h>

#include "cli/apply.h"
#include "common/json/access.h"
#include "operator/api/distributed_job.h"
#include "operator/api/federated_round.h"

namespace muster::cli {
namespace {

template <typename Spec>
Status located(const ManifestObject& object, const Result<Spec>& read) {
  return read ? Status() : Status(invalid_argument(locate(object, read.error().message)));
}

}  // namespace

Status check_spec(const ManifestObject& object, const Json& completed) {
  const Json& spec = member(completed, "spec");
  if (spec::managed_elsewhere(spec))
    return invalid_argument(locate(
        object,
        fmt::format("spec.managedBy: no {} runs here, so the object would wait for ever; remove the field",
                    text(member(spec, "managedBy")))));
  if (object.kind->kind == "DistributedJob")
    return located(object, op::api::distributed_job_spec_from_json(spec));
  if (object.kind->kind == "FederatedRound")
    return located(object, op::api::federated_round_spec_from_json(spec));
  return {};
}

}  // namespace muster::cli
