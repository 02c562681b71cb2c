// operator/shell/children.cc: creates, and names that are taken
#include "operator/shell/children.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "common/base/base64.h"
#include "common/json/access.h"
#include "operator/core/template_words.h"

namespace muster::op {

kube::Resource resource_of(const ApiKind& api) {
  return {
      .group = api.group, .version = api.version, .plural = api.plural, .namespaced = true, .kind = api.kind};
}

namespace {

// Admission gives what code it likes: 422 a ValidatingAdmissionPolicy, 400 a webhook that says nothing else,
// 500 one that cannot be reached. It may change its mind, or come back.
bool is_of_admission(const std::string& message) {
  constexpr std::string_view kWords[] = {" is forbidden: ", "admission webhook ", "failed calling webhook "};
  return std::ranges::any_of(
      kWords, [&](std::string_view words) { return message.find(words) != std::string::npos; });
}

// What the answer to a create says of the next ones; nullopt: it may go well any moment.
std::optional<Obstacle> obstacle_of(const Error& error) {
  if (error.code == Code::kPermissionDenied || is_of_admission(error.message))
    return Obstacle{Obstacle::Kind::kRefused, error.message};
  if (error.code != Code::kInvalidArgument) return std::nullopt;
  return Obstacle{Obstacle::Kind::kInvalid, error.message};
}

std::string named(const Subject& subject, const kube::Resource& resource, const Json& existing) {
  return fmt::format("{} {}/{}", resource.kind, subject.ns, meta_text(existing, "name"));
}

// What holds the name of a child.
Obstacle name_obstacle(const Subject& subject, const kube::Resource& resource, const Json& existing) {
  const std::string what = named(subject, resource, existing);
  if (leaves_soon(existing, subject.resource.kind, subject.name)) {
    return {Obstacle::Kind::kPredecessor, fmt::format("{} of an earlier {} {} is still being deleted", what,
                                                      subject.resource.kind, subject.name)};
  }
  const auto owner = controller_of(existing);
  return {Obstacle::Kind::kNameTaken,
          fmt::format("{} exists and belongs to {}; delete it or rename this object", what,
                      owner ? owner->kind + " " + owner->name : "nobody")};
}

}  // namespace

void emit(kube::EventRecorder& events, const Subject& subject, const EmitEvent& event) {
  events.record({.regarding = Json{{"apiVersion", subject.resource.api_version()},
                                   {"kind", subject.resource.kind},
                                   {"namespace", subject.ns},
                                   {"name", subject.name},
                                   {"uid", subject.uid}},
                 .type = event.type,
                 .reason = event.reason,
                 .message = event.message});
}

bool Children::is_create(const Action& action) {
  return std::holds_alternative<CreateService>(action) || std::holds_alternative<CreateCredentials>(action) ||
         std::holds_alternative<CreateChild>(action) || std::holds_alternative<CreatePod>(action);
}

Status Children::create(const Subject& subject, std::span<const Action> creates, ApplyResult& applied) {
  std::vector<const Action*> pods, others;
  for (const Action& action : creates)
    (std::holds_alternative<CreatePod>(action) ? pods : others).push_back(&action);
  MUSTER_TRY(create_batch(subject, others, applied));
  return in_growing_batches(std::span<const Action* const>(pods),
                            [&](auto batch) { return create_batch(subject, batch, applied); });
}

Status Children::create_batch(const Subject& subject, std::span<const Action* const> creates,
                              ApplyResult& applied) {
  std::vector<Outcome> outcomes(creates.size());
  lanes_.run(creates.size(), [&](std::size_t i) { outcomes[i] = create_one(subject, *creates[i]); });
  Status first;
  for (std::size_t i = 0; i < creates.size(); ++i) {
    Outcome& outcome = outcomes[i];
    // The pods of a pass are of one template, so each sentence once.
    for (const std::string& warning : outcome.warnings)
      if (applied.warned.insert(warning).second)
        emit(events_, subject, {"Warning", "ServerWarning", warning});
    if (outcome.credentials) applied.credentials.insert(*std::move(outcome.credentials));
    if (outcome.refused) applied.refused = std::move(outcome.refused);
    if (outcome.obstacle && !applied.obstacle) applied.obstacle = std::move(outcome.obstacle);
    if (outcome.status && std::holds_alternative<CreatePod>(*creates[i])) ++applied.pods_created;
    if (!outcome.status && first) first = outcome.status;
  }
  return first;
}

Children::Outcome Children::create_one(const Subject& subject, const Action& action) {
  if (const auto* pod = std::get_if<CreatePod>(&action))
    return create_child(subject, kube::kPods, pod->manifest, {.strict = pod->strict}, pod->part);
  if (const auto* keys = std::get_if<CreateCredentials>(&action)) return create_credentials(subject, *keys);
  if (const auto* child = std::get_if<CreateChild>(&action)) return create_of(subject, *child);
  return create_child(subject, kube::kServices, std::get<CreateService>(action).manifest, {}, "");
}

Children::Outcome Children::create_credentials(const Subject& subject, const CreateCredentials& action) {
  const auto files = action.token ? Result<std::map<std::string, std::string>>(issuer_.token_of(subject.uid))
                                  : issuer_.keys_of(subject.uid, action.role, action.first, action.count,
                                                    std::chrono::system_clock::now());
  if (!files) return {.status = files.error()};
  Json secret = action.manifest;
  for (const auto& [name, pem] : *files) secret["data"][name] = base64_encode(pem);
  const auto created = client_.create(kube::kSecrets, subject.ns, secret, {.metadata_only = true});
  if (!created && created.error().code != Code::kAlreadyExists) {
    auto obstacle = obstacle_of(created.error());
    if (action.token && obstacle)
      return {.status = {},
              .warnings = {obstacle->message + "; the pods run without it, and cannot tell their progress"}};
    return {.status = created.error(), .obstacle = std::move(obstacle)};
  }
  return {.status = {}, .credentials = std::pair(meta_text(secret, "name"), !created)};
}

// An API that is not there, or not allowed, is for core to judge: another may do. What is invalid is not the
// pod template's doing.
Children::Outcome Children::create_of(const Subject& subject, const CreateChild& action) {
  Outcome outcome = create_child(subject, resource_of(action.api), action.manifest, {}, "");
  if (outcome.status) return outcome;
  const Error& error = outcome.status.error();
  if (error.code == Code::kPermissionDenied || error.code == Code::kNotFound)
    return {.status = aborted(error.message), .refused = std::pair(action.api, error)};
  if (outcome.obstacle && outcome.obstacle->kind == Obstacle::Kind::kInvalid)
    outcome.obstacle->kind = Obstacle::Kind::kRefused;
  return outcome;
}

// A name that is taken: by our own object, then an earlier pass made it; by what an earlier object of our
// name has left behind, then that goes; else we may not touch it.
Children::Outcome Children::create_child(const Subject& subject, const kube::Resource& resource,
                                         const Json& manifest, const kube::CreateOptions& options,
                                         const std::string& part) {
  std::vector<std::string> warnings;
  auto created = client_.create(resource, subject.ns, manifest, options, &warnings);
  for (std::string& warning : warnings) warning = in_template(warning, manifest, part);
  if (created) {
    cache_.observe_write(resource, std::move(*created));
    return {.status = {}, .warnings = std::move(warnings)};
  }
  if (created.error().code == Code::kAlreadyExists)
    return take_name(subject, resource, meta_text(manifest, "name"));
  Error error = created.error();
  error.message = in_template(error.message, manifest, part);
  auto obstacle = obstacle_of(error);
  return {.status = std::move(error), .obstacle = std::move(obstacle), .warnings = std::move(warnings)};
}

Children::Outcome Children::blocked(Obstacle obstacle) {
  Outcome outcome{.status = failed_precondition(obstacle.message)};
  outcome.obstacle = std::move(obstacle);
  return outcome;
}

Children::Outcome Children::take_name(const Subject& subject, const kube::Resource& resource,
                                      const std::string& name) {
  auto existing = client_.get(resource, subject.ns, name);
  if (!existing &&
      existing.error().code == Code::kNotFound)  // the child, not the object: there is more to do
    return {.status = aborted(fmt::format("{} {} has just gone", resource.kind, name))};
  if (!existing) return {.status = existing.error()};
  const auto owner = controller_of(*existing);
  if (owner && owner->uid == subject.uid) {
    cache_.observe_write(resource, std::move(*existing));
    return {.status = {}};
  }
  if (is_orphan(*existing, subject.resource.kind, subject.name))
    return replace_orphan(subject, resource, *existing);
  return blocked(name_obstacle(subject, resource, *existing));
}

// The rules by which a ReplicaSet adopts: what has no controller, by its labels, and only for an object that
// the API server itself says is there and stays. But its pods have keys and names of their object's uid, so
// that they are of no use to another: they go, and it gets its own.
Children::Outcome Children::replace_orphan(const Subject& subject, const kube::Resource& resource,
                                           const Json& orphan) {
  // By a list, for which the operator has the right anyway.
  const auto owner =
      client_.list(subject.resource, subject.ns, {.field_selector = "metadata.name=" + subject.name});
  if (!owner) return {.status = owner.error()};
  const bool stays = !owner->items.empty() && meta_text(owner->items.front(), "uid") == subject.uid &&
                     meta_text(owner->items.front(), "deletionTimestamp").empty();
  if (!stays)
    return {.status = aborted(fmt::format("{} {} is being deleted", subject.resource.kind, subject.name))};
  if (const Status gone = remove_orphan(subject, resource, orphan); !gone) return {.status = gone.error()};
  // The others with it: those beyond the number of pods that this object makes meet no create.
  if (resource.plural == kube::kPods.plural)
    for (const kube::Object& pod : cache_.list(kube::kPods))
      if (meta_text(*pod, "namespace") == subject.ns && meta_text(*pod, "uid") != meta_text(orphan, "uid") &&
          meta_text(*pod, "deletionTimestamp").empty() &&
          is_orphan(*pod, subject.resource.kind, subject.name))
        (void)remove_orphan(subject, resource, *pod);  // another create, or the next pass, meets what stays
  const std::string what = named(subject, resource, orphan);
  emit(events_, subject,
       {"Normal", "OrphanReplaced",
        fmt::format("{} of an earlier {} {} has no owner, and is replaced", what, subject.resource.kind,
                    subject.name)});
  return blocked({Obstacle::Kind::kPredecessor, fmt::format("{} of an earlier {} {} is being deleted", what,
                                                            subject.resource.kind, subject.name)});
}

// As it was judged: one that has got an owner meanwhile stays.
Status Children::remove_orphan(const Subject& subject, const kube::Resource& resource, const Json& orphan) {
  const auto gone = client_.remove(
      resource, subject.ns, meta_text(orphan, "name"),
      {.uid = meta_text(orphan, "uid"), .resource_version = meta_text(orphan, "resourceVersion")});
  if (!gone && gone.error().code != Code::kNotFound) return gone.error();
  return {};
}

Status Children::check(const Subject& subject, const CheckPod& action, ApplyResult& applied) {
  const auto judged = client_.create(kube::kPods, subject.ns, action.manifest,
                                     {.strict = true, .dry_run = true, .metadata_only = true});
  if (judged) return {};
  Error error = judged.error();
  error.message = in_template(error.message, action.manifest, action.part);
  auto obstacle = obstacle_of(error);
  if (!obstacle || obstacle->kind != Obstacle::Kind::kInvalid) return {};
  applied.obstacle = std::move(obstacle);
  return error;
}

}  // namespace muster::op
