// operator/shell/applier.cc: actions into API calls
#include "operator/shell/applier.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/json/access.h"
#include "operator/core/definition.h"

namespace muster::op {
namespace {

// The event that tells of a right that the operator lacks; of creates core tells.
const char* reason_of_refused(const Action& action) {
  if (std::holds_alternative<DeletePod>(action) || std::holds_alternative<DeleteChild>(action) ||
      std::holds_alternative<DeleteObject>(action))
    return "FailedDelete";
  const bool status =
      std::holds_alternative<PatchStatus>(action) || std::holds_alternative<PatchChildStatus>(action);
  return status ? "FailedStatusUpdate" : nullptr;
}

bool is_delete(const Action& action) { return std::holds_alternative<DeletePod>(action); }

}  // namespace

struct Applier::Pass {
  const Subject& subject;
  ApplyResult& applied;
};

Status Applier::apply(const Subject& subject, const std::vector<Action>& actions, ApplyResult& applied) {
  Pass pass{subject, applied};
  std::span<const Action> left = actions;
  while (!left.empty()) {
    const auto leading = [&](auto wanted) {
      return left.first(static_cast<std::size_t>(std::ranges::find_if_not(left, wanted) - left.begin()));
    };
    std::span<const Action> batch = leading(&Children::is_create);
    if (!batch.empty()) {
      MUSTER_TRY(children_.create(subject, batch, applied));
    } else if (batch = leading(is_delete); !batch.empty()) {
      MUSTER_TRY(in_growing_batches(batch, [&](auto some) { return remove_pods(pass, some); }));
    } else {
      batch = left.first(1);
      MUSTER_TRY(apply_one(pass, batch.front()));
    }
    left = left.subspan(batch.size());
  }
  return {};
}

Status Applier::apply_one(Pass& pass, const Action& action) {
  Status done = std::visit(
      [&](const auto& what) -> Status {
        if constexpr (requires { (*this)(pass, what); }) return (*this)(pass, what);
        MUSTER_CHECK(false);  // a create or a delete: they go in batches
      },
      action);
  tell_refused(pass, action, done);
  return done;
}

void Applier::tell_refused(const Pass& pass, const Action& action, const Status& done) {
  const char* const reason = reason_of_refused(action);
  if (done || reason == nullptr) return;
  const Code code = done.error().code;
  if (code == Code::kPermissionDenied) emit(events_, pass.subject, {"Warning", reason, done.error().message});
  if (code == Code::kInvalidArgument && std::holds_alternative<PatchStatus>(action))
    emit(events_, pass.subject,
         {"Warning", reason,
          done.error().message +
              "; are the cluster's definitions (kubectl get crd) of the operator's version, " MUSTER_VERSION
              "? Apply those"});
}

Status Applier::remove_pods(Pass& pass, std::span<const Action> deletes) {
  std::vector<Removal> removals(deletes.size());
  lanes_.run(deletes.size(),
             [&](std::size_t i) { removals[i] = remove_pod(pass.subject, std::get<DeletePod>(deletes[i])); });
  Status first;
  for (const Removal& removal : removals) {
    pass.applied.look_soon = pass.applied.look_soon || removal.was_gone;
    if (!removal.status && first) first = removal.status;
  }
  tell_refused(pass, deletes.front(), first);
  return first;
}

Status Applier::operator()(Pass& pass, const CheckPod& action) {
  return children_.check(pass.subject, action, pass.applied);
}

Applier::Removal Applier::remove_pod(const Subject& subject, const DeletePod& action) {
  kube::DeleteOptions options{.uid = action.uid, .resource_version = {}, .propagation = {}, .grace = {}};
  if (action.grace_seconds) options.grace = std::chrono::seconds(*action.grace_seconds);
  auto gone = client_.remove(kube::kPods, subject.ns, action.name, options);
  if (!gone) {
    // 409: another pod has the name now, so the one we meant is gone.
    if (gone.error().code != Code::kNotFound && gone.error().code != Code::kAborted)
      return {.status = gone.error()};
    // Landed, and the next pass must see so: no event may come that says it.
    cache_.observe_gone(kube::kPods, subject.ns + "/" + action.name, action.uid);
    return {.status = {}, .was_gone = true};
  }
  const bool terminating =
      gone->value("kind", "") == "Pod" && gone->contains(Json::json_pointer("/metadata/deletionTimestamp"));
  if (terminating) cache_.observe_write(kube::kPods, std::move(*gone));
  return {.status = {}};
}

Status Applier::operator()(Pass& pass, const DeleteChild& action) {
  const kube::Resource resource = resource_of(action.api);
  auto gone = client_.remove(resource, pass.subject.ns, action.name,
                             {.uid = action.uid, .resource_version = {}, .propagation = {}, .grace = {}});
  if (gone && !meta_text(*gone, "deletionTimestamp").empty()) {
    cache_.observe_write(resource, std::move(*gone));
    return {};
  }
  if (!gone && gone.error().code != Code::kNotFound && gone.error().code != Code::kAborted)
    return gone.error();
  cache_.observe_gone(resource, pass.subject.ns + "/" + action.name, action.uid);
  pass.applied.look_soon = true;
  return {};
}

Status Applier::operator()(Pass& pass, const PatchChildStatus& action) {
  const kube::Resource resource = resource_of(action.api);
  auto written = client_.patch(resource, pass.subject.ns, action.name, kube::PatchType::kMerge, action.patch,
                               {.subresource = "status", .field_manager = "muster", .force = false});
  if (!written) return written.error();
  cache_.observe_write(resource, std::move(*written));
  return {};
}

Status Applier::operator()(Pass& pass, const ConfigurePod& action) {
  if (options_.may_write) {
    if (const auto token = options_.may_write(); !token) return token.error();
  }
  agents_.configure(action);
  pass.applied.look_soon = true;
  return {};
}

Status Applier::operator()(Pass& pass, const PatchStatus& action) {
  const auto before = cache_.get(pass.subject.resource, pass.subject.ns + "/" + pass.subject.name);
  Json patch = action.patch;
  // What keeps this from an object of the same name made anew is its resourceVersion, which core sends: an
  // API server overwrites the uid of a status write with the stored one before it compares.
  patch["metadata"]["uid"] = pass.subject.uid;
  auto written =
      client_.patch(pass.subject.resource, pass.subject.ns, pass.subject.name, kube::PatchType::kMerge, patch,
                    {.subresource = "status", .field_manager = "muster", .force = false});
  if (!written) return written.error();
  pass.applied.status_written = true;
  pass.applied.unkept = field_not_kept(patch, *written);
  for (const auto& [name, value] : member(patch, "status").items())
    pass.applied.status_fields.insert("status." + name);
  if (options_.on_status && before != nullptr) options_.on_status(pass.subject, *before, *written);
  cache_.observe_write(pass.subject.resource, std::move(*written));
  return {};
}

Status Applier::operator()(Pass& pass, const DeleteObject& action) {
  auto gone = client_.remove(
      pass.subject.resource, pass.subject.ns, pass.subject.name,
      {.uid = action.uid,
       .resource_version = {},
       .propagation = action.foreground ? kube::Propagation::kForeground : kube::Propagation::kBackground,
       .grace = {}});
  if (!gone && gone.error().code != Code::kNotFound) return gone.error();
  return {};
}

Status Applier::operator()(Pass& pass, const RecordHistory& action) {
  Status done = history_.write(pass.subject.ns, action, std::chrono::system_clock::now());
  if (done) return done;
  const Code code = done.error().code;
  const bool refused =
      code == Code::kPermissionDenied || code == Code::kInvalidArgument || code == Code::kNotFound;
  if (refused) emit(events_, pass.subject, {"Warning", "FailedHistory", done.error().message});
  return refused && !action.must ? Status() : done;
}

Status Applier::operator()(Pass& pass, const EmitEvent& action) {
  emit(events_, pass.subject, action);
  return {};
}

}  // namespace muster::op
