// cli/status.cc: the objects that were asked for, with pods and events of each
#include "cli/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/audit_view.h"
#include "cli/connect.h"
#include "cli/console.h"
#include "cli/evidence.h"
#include "cli/exit_code.h"
#include "cli/resources.h"
#include "cli/status_view.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

struct Asked {
  kube::Client& client;
  std::string ns;  // empty: all
  std::string name;
  std::vector<kube::Resource> kinds;
};

// The objects, or kNotFound where one was named.
Result<std::vector<std::pair<kube::Resource, Json>>> find_objects(const Asked& asked) {
  std::vector<std::pair<kube::Resource, Json>> found;
  for (const kube::Resource& kind : asked.kinds) {
    if (asked.name.empty()) {
      MUSTER_ASSIGN(kube::ListPage page, asked.client.list_all(kind, asked.ns));
      for (Json& object : page.items) found.emplace_back(kind, std::move(object));
      continue;
    }
    auto object = asked.client.get(kind, asked.ns, asked.name);
    if (!object && object.error().code != Code::kNotFound) return object.error();
    if (object) found.emplace_back(kind, *std::move(object));
  }
  if (found.empty() && !asked.name.empty()) {
    return not_found(fmt::format("no job '{}' in namespace '{}'; see `muster get -A`", asked.name, asked.ns));
  }
  return found;
}

Result<std::string> status_of(const Asked& asked) {
  MUSTER_ASSIGN(const auto objects, find_objects(asked));
  std::map<std::string, std::vector<Json>> events;  // by namespace
  std::string out;
  for (const auto& [kind, object] : objects) {
    const std::string ns = meta_text(object, "namespace");
    if (!events.contains(ns)) {
      MUSTER_ASSIGN(kube::ListPage page, asked.client.list_all(kube::kEvents, ns));
      events[ns] = std::move(page.items);
    }
    MUSTER_ASSIGN(const std::vector<Json> pods, pods_of(asked.client, object));
    out += (out.empty() ? "" : "\n") + render_status(object, pods, events_about(object, pods, events[ns]),
                                                     std::chrono::system_clock::now());
  }
  return out.empty() ? std::string("there are no jobs; `-A` looks in all namespaces\n") : out;
}

Result<std::string> top_of(const Asked& asked) {
  MUSTER_ASSIGN(const auto objects, find_objects(asked));
  std::vector<Json> all;
  all.reserve(objects.size());
  for (const auto& [kind, object] : objects) all.push_back(object);
  return render_top(all);
}

// `balances`: of all that was asked for. A federation has no ledger: it is told so where it was asked for as
// fr/NAME, and else looked at only where no DistributedJob has its name.
Result<std::string> audit_of(const Asked& asked, bool& balances) {
  MUSTER_ASSIGN(auto objects, find_objects(asked));
  const auto is_job = [](const auto& object) { return object.first.kind == kube::kDistributedJobs.kind; };
  if (asked.name.empty() || std::ranges::any_of(objects, is_job))
    std::erase_if(objects, [&](const auto& object) { return !is_job(object); });
  std::string out;
  for (const auto& [kind, object] : objects) {
    const Audit audit = cli::audit_of(object);
    balances = balances && audit.balances;
    out += (out.empty() ? "" : "\n") + audit.text;
  }
  return out.empty() ? std::string("there are no DistributedJobs; `-A` looks in all namespaces\n") : out;
}

Result<std::string> set_suspended(const Asked& asked, bool suspended) {
  MUSTER_ASSIGN(const auto objects, find_objects(asked));
  if (objects.size() > 1) {
    return invalid_argument(
        fmt::format("'{0}' is a DistributedJob and a FederatedRound; write dj/{0} or fr/{0}", asked.name));
  }
  const auto& [kind, object] = objects.front();
  if (const std::string ended = why_not_suspended(object, suspended); !ended.empty())
    return failed_precondition(ended);
  const Json patch{{"spec", {{"suspend", suspended}}}};
  MUSTER_TRY(asked.client.patch(kind, asked.ns, asked.name, kube::PatchType::kMerge, patch));
  return fmt::format("{}/{} {}\n", kind.kind, asked.name, suspended ? "suspended" : "resumed");
}

// Connects, answers, and says what went wrong.
template <typename Answer>
int answer(const StatusOptions& options, Answer answer_of) {
  const auto fail = [](const Error& error) {
    print_error(error.message);
    return exit_code_of(error);
  };
  std::string name = options.name;
  std::vector<kube::Resource> kinds{kube::kDistributedJobs, kube::kFederatedRounds};
  if (const auto parts = split_slash(name)) {
    const auto kind = find_resource(parts->kind);
    if (!kind) return fail(kind.error());
    if (kind->group != kube::kDistributedJobs.group) {
      return fail(invalid_argument(fmt::format("'{}' is no job; write dj/{} or fr/{}, or only its name", name,
                                               parts->name, parts->name)));
    }
    kinds = {*kind};
    name = parts->name;
  }
  const auto connection = connect(options.query);
  if (!connection) return fail(connection.error());
  std::string ns =
      options.query.name_space.empty() ? connection->default_namespace : options.query.name_space;
  if (options.all_namespaces) ns.clear();
  const auto text = answer_of(Asked{*connection->client, ns, name, kinds});
  if (!text) return fail(explain(text.error(), connection->server));
  Console out(Console::Stream::kOut);
  out.write(*text);
  return finish(out);
}

}  // namespace

int status(const StatusOptions& options) { return answer(options, status_of); }
int top(const StatusOptions& options) { return answer(options, top_of); }
int audit(const StatusOptions& options) {
  bool balances = true;
  const int code = answer(options, [&](const Asked& asked) { return audit_of(asked, balances); });
  return code == kExitDone && !balances ? kExitFailed : code;
}
int suspend(const StatusOptions& options, bool suspended) {
  return answer(options, [&](const Asked& asked) { return set_suspended(asked, suspended); });
}

}  // namespace muster::cli
