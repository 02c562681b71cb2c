// operator/shell/applier.cc: actions into API calls
#include "operator/shell/applier.h"

#include <fmt/format.h>

#include "common/base/base64.h"
#include "common/json/field_path.h"

namespace muster::op {
namespace {

std::string name_of(const Json& object) {
  return object.value(Json::json_pointer("/metadata/name"), std::string());
}

// What the answer to a create says of the next ones; nullopt: it may go well any moment.
std::optional<Obstacle> obstacle_of(const Error& error) {
  if (error.code == Code::kPermissionDenied) return Obstacle{Obstacle::Kind::kRefused, error.message};
  if (error.code != Code::kInvalidArgument) return std::nullopt;
  // A webhook says 400, too, when it says nothing else, and means a policy, which may change.
  const bool policy = error.message.find("admission webhook") != std::string::npos;
  return Obstacle{policy ? Obstacle::Kind::kRefused : Obstacle::Kind::kInvalid, error.message};
}

// What holds the name of a child.
Obstacle name_obstacle(const Subject& subject, const kube::Resource& resource, const Json& existing) {
  const std::string what = fmt::format("{} {}/{}", resource.kind, subject.ns, name_of(existing));
  if (leaves_soon(existing, subject.resource.kind, subject.name)) {
    return {Obstacle::Kind::kPredecessor, fmt::format("{} of an earlier {} {} is still being deleted", what,
                                                      subject.resource.kind, subject.name)};
  }
  const auto owner = controller_of(existing);
  return {Obstacle::Kind::kNameTaken,
          fmt::format("{} exists and belongs to {}; delete it or rename this object", what,
                      owner ? owner->kind + " " + owner->name : "nobody")};
}

// The event that tells of a right that the operator lacks; of creates core tells.
const char* reason_of_refused(const Action& action) {
  if (std::holds_alternative<DeletePod>(action) || std::holds_alternative<DeleteObject>(action))
    return "FailedDelete";
  return std::holds_alternative<PatchStatus>(action) ? "FailedStatusUpdate" : nullptr;
}

}  // namespace

struct Applier::Pass {
  const Subject& subject;
  Applied& applied;
};

void Applier::emit(const Subject& subject, const std::string& type, const std::string& reason,
                   const std::string& message) {
  events_.record({.regarding = Json{{"apiVersion", subject.resource.api_version()},
                                    {"kind", subject.resource.kind},
                                    {"namespace", subject.ns},
                                    {"name", subject.name},
                                    {"uid", subject.uid}},
                  .type = type,
                  .reason = reason,
                  .message = message});
}

Status Applier::apply(const Subject& subject, const std::vector<Action>& actions, Applied& applied) {
  Pass pass{subject, applied};
  for (const Action& action : actions) {
    const Status done = std::visit([&](const auto& what) { return (*this)(pass, what); }, action);
    if (done) continue;
    const char* const reason = reason_of_refused(action);
    if (reason != nullptr && done.error().code == Code::kPermissionDenied)
      emit(subject, "Warning", reason, done.error().message);
    return done.error();
  }
  return {};
}

// What the server says of a child that it takes: fields that it drops, rules that it does not enforce yet.
// The pods of a pass are of one template, so each sentence once.
void Applier::tell(Pass& pass, const std::vector<std::string>& warnings, const std::string& part) {
  for (const std::string& warning : warnings) {
    const std::string sentence = in_part(warning, part);
    if (pass.applied.warned.insert(sentence).second) emit(pass.subject, "Warning", "ServerWarning", sentence);
  }
}

// A name that is taken: by our own object, then an earlier pass made it; else we may not touch it.
Status Applier::create(Pass& pass, const kube::Resource& resource, const Json& manifest,
                       const kube::CreateOptions& options, const std::string& part) {
  const std::string name = name_of(manifest);
  std::vector<std::string> warnings;
  auto created = client_.create(resource, pass.subject.ns, manifest, options, &warnings);
  tell(pass, warnings, part);
  if (created) {
    cache_.observe_write(resource, std::move(*created));
    return {};
  }
  if (created.error().code == Code::kAlreadyExists) {
    auto existing = client_.get(resource, pass.subject.ns, name);
    if (!existing) return existing.error();
    const auto owner = controller_of(*existing);
    if (!owner || owner->uid != pass.subject.uid) {
      pass.applied.obstacle = name_obstacle(pass.subject, resource, *existing);
      return failed_precondition(pass.applied.obstacle->message);
    }
    cache_.observe_write(resource, std::move(*existing));
    return {};
  }
  Error error = created.error();
  error.message = in_part(error.message, part);
  pass.applied.obstacle = obstacle_of(error);
  return error;
}

Status Applier::operator()(Pass& pass, const CreateService& action) {
  return create(pass, kube::kServices, action.manifest, {}, "");
}

Status Applier::operator()(Pass& pass, const CreateCredentials& action) {
  MUSTER_ASSIGN(const auto files, issuer_.keys_of(pass.subject.uid, action.role, action.first, action.count,
                                                  std::chrono::system_clock::now()));
  Json secret = action.manifest;
  for (const auto& [name, pem] : files) secret["data"][name] = base64_encode(pem);
  const auto created = client_.create(kube::kSecrets, pass.subject.ns, secret);
  if (!created && created.error().code != Code::kAlreadyExists) {
    pass.applied.obstacle = obstacle_of(created.error());
    return created.error();
  }
  pass.applied.credentials[name_of(secret)] = !created;
  return {};
}

Status Applier::operator()(Pass& pass, const CreatePod& action) {
  MUSTER_TRY(create(pass, kube::kPods, action.manifest, {.strict = action.strict}, action.part));
  ++pass.applied.pods_created;
  return {};
}

Status Applier::operator()(Pass& pass, const CheckPod& action) {
  const auto judged =
      client_.create(kube::kPods, pass.subject.ns, action.manifest, {.strict = true, .dry_run = true});
  if (judged) return {};
  Error error = judged.error();
  error.message = in_part(error.message, action.part);
  auto obstacle = obstacle_of(error);
  if (!obstacle || obstacle->kind != Obstacle::Kind::kInvalid) return {};
  pass.applied.obstacle = std::move(obstacle);
  return error;
}

Status Applier::operator()(Pass& pass, const DeletePod& action) {
  kube::DeleteOptions options{.uid = action.uid, .resource_version = {}, .propagation = {}, .grace = {}};
  if (action.grace_seconds) options.grace = std::chrono::seconds(*action.grace_seconds);
  auto gone = client_.remove(kube::kPods, pass.subject.ns, action.name, options);
  if (!gone) {
    // 409: another pod has the name now, so the one we meant is gone.
    if (gone.error().code != Code::kNotFound && gone.error().code != Code::kAborted) return gone.error();
    // Landed, and the next pass must see so: no event may come that says it.
    cache_.observe_gone(kube::kPods, pass.subject.ns + "/" + action.name, action.uid);
    pass.applied.look_soon = true;
    return {};
  }
  const bool terminating =
      gone->value("kind", "") == "Pod" && gone->contains(Json::json_pointer("/metadata/deletionTimestamp"));
  if (terminating) cache_.observe_write(kube::kPods, std::move(*gone));
  return {};
}

Status Applier::operator()(Pass& pass, const ConfigurePod& action) {
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

Status Applier::operator()(Pass& pass, const EmitEvent& action) {
  emit(pass.subject, action.type, action.reason, action.message);
  return {};
}

}  // namespace muster::op
