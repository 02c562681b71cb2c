// cli/history.cc: `muster history [NAME]`: jobs that have ended, also those that are gone
#include "cli/history.h"

#include <fmt/format.h>

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/history_view.h"
#include "cli/resources.h"
#include "common/spec/history.h"
#include "common/yaml/yaml.h"

namespace muster::cli {
namespace {

Result<std::vector<Json>> config_maps(kube::Client& client, const std::string& ns) {
  MUSTER_ASSIGN(const kube::Resource resource, find_resource("configmaps"));
  if (ns.empty()) {
    kube::ListOptions list;
    list.field_selector = fmt::format("metadata.name={}", spec::kHistoryConfigMap);
    MUSTER_ASSIGN(kube::ListPage page, client.list_all(resource, ns, list));
    return std::move(page.items);
  }
  auto found = client.get(resource, ns, spec::kHistoryConfigMap);
  if (found) return std::vector<Json>{*std::move(found)};
  if (found.error().code != Code::kNotFound) return found.error();
  return std::vector<Json>();
}

Result<HistoryFilter> filter_of(const HistoryOptions& options) {
  const auto parts = split_slash(options.name);
  if (!parts) return HistoryFilter{.kind = {}, .name = options.name};
  MUSTER_ASSIGN(const kube::Resource kind, find_resource(parts->kind));
  if (kind.group != kube::kDistributedJobs.group)
    return invalid_argument(fmt::format("'{}' is no job; write dj/{} or fr/{}, or only its name",
                                        options.name, parts->name, parts->name));
  return HistoryFilter{.kind = kind.kind, .name = parts->name};
}

std::string render(const std::vector<Json>& records, const HistoryOptions& options) {
  if (options.output == "json") return Json{{"items", records}}.dump(2) + "\n";
  if (options.output == "yaml") return to_yaml(Json{{"items", records}});
  return render_history(records, options.output == "wide" ? HistoryColumns::kWide : HistoryColumns::kUsual,
                        options.all_namespaces, std::chrono::system_clock::now());
}

Result<std::string> answer(const HistoryOptions& options, const Connection& connection) {
  MUSTER_ASSIGN(const HistoryFilter filter, filter_of(options));
  std::string ns = options.query.name_space.empty() ? connection.default_namespace : options.query.name_space;
  if (options.all_namespaces) ns.clear();
  MUSTER_ASSIGN(const std::vector<Json> found, config_maps(*connection.client, ns));
  const std::vector<Json> records = read_history(found, filter);
  if (!records.empty() || options.output == "json" || options.output == "yaml")
    return render(records, options);
  const std::string where = ns.empty() ? "any namespace" : fmt::format("namespace '{}'", ns);
  if (!options.name.empty())
    return not_found(
        fmt::format("no record of '{}' in {}; one is written when a job ends, and the oldest go "
                    "first; of one that is there, see `muster status`",
                    options.name, where));
  return fmt::format("no job has ended in {}{}\n", where, ns.empty() ? "" : "; `-A` looks in all namespaces");
}

}  // namespace

int history(const HistoryOptions& options) {
  const auto fail = [](const Error& error) {
    print_error(error.message);
    return exit_code_of(error);
  };
  const auto connection = connect(options.query);
  if (!connection) return fail(connection.error());
  const auto text = answer(options, *connection);
  if (!text) return fail(explain(text.error(), connection->server));
  Console out(Console::Stream::kOut);
  out.write(*text);
  return finish(out);
}

}  // namespace muster::cli
