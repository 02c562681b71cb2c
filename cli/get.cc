// cli/get.cc: `muster get [KIND] [NAME]`: objects as the API server tabulates them, or whole
#include "cli/get.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stop_token>
#include <thread>

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/resources.h"
#include "cli/table.h"
#include "common/platform/signals.h"
#include "common/yaml/yaml.h"

namespace muster::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr const char* kAsTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

struct Query {
  kube::Client& client;
  kube::Resource resource;
  std::string ns;  // empty: all
  const GetOptions& options;
  std::string server;
};

std::string member(const Json& object, const char* name) {
  return object.is_object() && object.contains(name) && object[name].is_string()
             ? object[name].get<std::string>()
             : "";
}

std::string cell_text(const Json& cell) {
  if (cell.is_null()) return "";
  return cell.is_string() ? cell.get<std::string>() : cell.dump();
}

// The server's Table as rows, header first; columns of priority above 0 are for `-o wide`, which we do not
// have.
Rows table_rows(const Json& table, bool with_namespace) {
  Rows rows;
  std::vector<std::size_t> shown;
  std::vector<std::string> header;
  if (with_namespace) header.push_back("NAMESPACE");
  const Json columns = table.value("columnDefinitions", Json::array());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].value("priority", 0) > 0) continue;
    shown.push_back(i);
    std::string name = member(columns[i], "name");
    for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    header.push_back(std::move(name));
  }
  rows.push_back(std::move(header));
  for (const Json& row : table.value("rows", Json::array())) {
    std::vector<std::string> cells;
    if (with_namespace)
      cells.push_back(
          member(row.value("object", Json::object()).value("metadata", Json::object()), "namespace"));
    const Json values = row.value("cells", Json::array());
    for (const std::size_t i : shown) cells.push_back(i < values.size() ? cell_text(values[i]) : "");
    rows.push_back(std::move(cells));
  }
  return rows;
}

// What a query found, and the version from which a watch goes on without a gap.
template <class T>
struct Found {
  T what;
  std::string resource_version;
};

std::string version_of(const Json& object) {
  return member(object.value("metadata", Json::object()), "resourceVersion");
}

Result<Found<Rows>> fetch_table(const Query& query, const std::string& name) {
  kube::HttpRequest request;
  request.target = kube::resource_path(query.resource, query.ns, name);
  if (name.empty() && !query.options.selector.empty()) {
    request.target += "?labelSelector=" + kube::url_encode(query.options.selector);
  }
  request.headers = {{"Accept", kAsTable}};
  MUSTER_ASSIGN(const kube::HttpResponse answer, query.client.raw(std::move(request)));
  MUSTER_ASSIGN(const Json table, parse_json(answer.body, "the API server's table"));
  if (member(table, "kind") != "Table") {
    return failed_precondition("the API server sent no table; use -o json or -o yaml");
  }
  return Found<Rows>{table_rows(table, query.options.all_namespaces && query.resource.namespaced),
                     version_of(table)};
}

Result<Found<std::vector<Json>>> fetch_objects(const Query& query) {
  if (!query.options.name.empty()) {
    MUSTER_ASSIGN(Json object, query.client.get(query.resource, query.ns, query.options.name));
    std::string version = version_of(object);
    return Found<std::vector<Json>>{{std::move(object)}, std::move(version)};
  }
  kube::ListOptions list;
  list.label_selector = query.options.selector;
  MUSTER_ASSIGN(kube::ListPage page, query.client.list_all(query.resource, query.ns, list));
  return Found<std::vector<Json>>{std::move(page.items), std::move(page.resource_version)};
}

std::string name_line(const kube::Resource& resource, const Json& object) {
  std::string singular = resource.kind;
  for (char& c : singular) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return fmt::format("{}{}/{}\n", singular, resource.group.empty() ? "" : "." + resource.group,
                     member(object.value("metadata", Json::object()), "name"));
}

std::string documents(const std::vector<Json>& objects, const GetOptions& options) {
  const bool one = !options.name.empty() && objects.size() == 1;
  const Json shown = one ? objects.front() : Json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", objects}};
  return options.output == "json" ? shown.dump(4, ' ', false, Json::error_handler_t::replace) + "\n"
                                  : to_yaml(shown);
}

std::string print_object(const Query& query, const Json& object) {
  const std::string& output = query.options.output;
  if (output == "name") return name_line(query.resource, object);
  if (output == "json") return object.dump(4, ' ', false, Json::error_handler_t::replace) + "\n";
  if (output == "yaml") return "---\n" + to_yaml(object);
  const std::string name = member(object.value("metadata", Json::object()), "name");
  Query single = query;
  single.ns = query.resource.namespaced ? member(object.value("metadata", Json::object()), "namespace") : "";
  const auto rows = fetch_table(single, name);
  if (!rows || rows->what.size() < 2) return "";  // it went away meanwhile: its deletion follows
  return fmt::format("{}\n", fmt::join(rows->what[1], "   "));
}

// Prints every change after `version` until Ctrl-C; a watch that ends is opened again where it stopped.
Status watch_objects(const Query& query, const std::string& version, Console& out,
                     const std::stop_token& stop) {
  kube::WatchOptions watch;
  watch.label_selector = query.options.selector;
  if (!query.options.name.empty()) watch.field_selector = "metadata.name=" + query.options.name;
  watch.resource_version = version;
  while (!stop.stop_requested() && !out.broken()) {
    Status ended =
        query.client.watch(query.resource, query.ns, watch, stop, [&](const kube::WatchEvent& event) -> bool {
          watch.resource_version = version_of(event.object);
          if (event.type == kube::WatchEvent::Type::kBookmark) return true;
          if (event.type == kube::WatchEvent::Type::kDeleted) {
            out.write(
                fmt::format("{} deleted\n", member(event.object.value("metadata", Json::object()), "name")));
          } else {
            out.write(print_object(query, event.object));
          }
          return !out.broken();
        });
    if (!ended && ended.error().code != Code::kCancelled) return ended;
  }
  return {};
}

// Writes tables and names; gathers `objects` for json and yaml, which are one document in the end. Returns
// the version of what it saw.
Result<std::string> show(const Query& query, Console& out, bool& empty, std::vector<Json>& objects) {
  if (query.options.output == "table") {
    MUSTER_ASSIGN(const Found<Rows> rows, fetch_table(query, query.options.name));
    if (rows.what.size() < 2) return rows.resource_version;
    out.write((empty ? "" : "\n") + render_table(rows.what));
    empty = false;
    return rows.resource_version;
  }
  MUSTER_ASSIGN(Found<std::vector<Json>> found, fetch_objects(query));
  if (query.options.output == "name") {
    for (const Json& object : found.what) out.write(name_line(query.resource, object));
  } else {
    std::ranges::move(found.what, std::back_inserter(objects));
  }
  return found.resource_version;
}

int fail(const Error& error) {
  print_error(error.message);
  return exit_code_of(error);
}

int watch_all(const Query& query, const std::string& version, Console& out) {
  SignalWaiter signals;
  std::stop_source stop;
  const std::jthread on_signal([&](const std::stop_token& over) {
    while (!over.stop_requested()) {
      if (signals.wait(std::chrono::milliseconds(100))) stop.request_stop();
    }
  });
  const Status ended = watch_objects(query, version, out, stop.get_token());
  if (stop.stop_requested()) return kExitInterrupted;
  return ended ? finish(out) : fail(explain(ended.error(), query.server));
}

}  // namespace

int get(const GetOptions& options) {
  std::vector<kube::Resource> resources;
  if (options.kind.empty() || is_category(options.kind)) {
    resources = {kube::kDistributedJobs, kube::kFederatedRounds};
  } else {
    auto resource = find_resource(options.kind);
    if (!resource) return fail(resource.error());
    resources = {std::move(*resource)};
  }
  auto connection = connect(options.query);
  if (!connection) return fail(connection.error());
  Console out(Console::Stream::kOut);
  const bool whole = options.output == "json" || options.output == "yaml";
  bool empty = true;
  std::vector<Json> objects;
  for (const kube::Resource& resource : resources) {
    std::string ns =
        options.query.name_space.empty() ? connection->default_namespace : options.query.name_space;
    if (options.all_namespaces || !resource.namespaced) ns.clear();
    const Query query{*connection->client, resource, ns, options, connection->server};
    const auto version = show(query, out, empty, objects);
    if (!version) return fail(explain(version.error(), connection->server));
    if (!options.watch) continue;
    for (const Json& object : objects) out.write(print_object(query, object));
    return watch_all(query, *version, out);
  }
  if (whole) out.write(documents(objects, options));
  if (empty && options.output == "table") {
    print_error(fmt::format("no {} found{}", resources.size() > 1 ? "jobs" : resources.front().plural,
                            options.all_namespaces ? "" : " in this namespace (-A shows all)"));
  }
  return finish(out);
}

}  // namespace muster::cli
