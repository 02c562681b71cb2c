// operator/core/assignment.cc: an assignment is put together from a common part and the pod's own
#include "operator/core/assignment.h"

namespace muster::op {

control::v1::Assignment assignment_to(const Pass& pass, const std::string& for_pods) {
  control::v1::Assignment told;
  told.set_namespace_(pass.meta.ns);
  told.set_name(pass.meta.name);
  told.set_uid(pass.meta.uid);
  told.set_membership(pass.before.membership);
  told.set_spec(for_pods);
  return told;
}

control::v1::Assignment assignment_of(const ConfigurePod& call) {
  control::v1::Assignment whole = call.common ? *call.common : control::v1::Assignment();
  whole.MergeFrom(call.own);
  return whole;
}

}  // namespace muster::op
