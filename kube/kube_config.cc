// kube/kube_config.cc: kubeconfig files, merged as kubectl does, and the pod's own service account
#include "kube/kube_config.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "common/base/base64.h"
#include "common/json/access.h"
#include "common/platform/volume_map.h"
#include "common/yaml/yaml.h"
#include "kube/identity.h"

namespace muster::kube {
namespace {

namespace fs = std::filesystem;

struct Entry {  // a named cluster, user or context, and the file it came from
  Json node;
  fs::path file;
};
struct Merged {
  std::map<std::string, Entry> clusters;
  std::map<std::string, Entry> users;
  std::map<std::string, Entry> contexts;
  std::string current_context;
  std::string source;
};

Result<std::string> read_file(const fs::path& file, std::string_view what) {
  errno = 0;
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) {
    return invalid_argument(fmt::format("{} {} is a folder; give the file", what, file.string()));
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const Code code = errno == ENOENT ? Code::kNotFound : Code::kPermissionDenied;
    return Error{code, fmt::format("cannot read {} {}: {}; check the path and its permissions", what,
                                   file.string(), std::strerror(errno == 0 ? EIO : errno))};
  }
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A scalar as it reads: `true` and 1 are text too where text is asked for.
std::string text_at(const Json& node, const char* name) {
  const Json& value = member(node, name);
  if (value.is_boolean() || value.is_number()) return value.dump();
  return text(value);
}

void merge_list(const Json& root, const char* list, const char* what, const fs::path& file,
                std::map<std::string, Entry>& out) {
  const Json& entries = member(root, list);
  if (!entries.is_array()) return;
  for (const Json& entry : entries) {
    const std::string name = text_at(entry, "name");
    const Json& node = member(entry, what);
    if (!name.empty() && node.is_object()) out.try_emplace(name, Entry{node, file});  // the first file wins
  }
}

Status merge_file(const fs::path& file, Merged& merged) {
  MUSTER_ASSIGN(const std::string text, read_file(file, "kubeconfig"));
  const auto documents = parse_yaml(text, "kubeconfig " + file.string());
  if (!documents) return documents.error();
  if (documents->empty() || !documents->front().value.is_object()) {
    return invalid_argument(
        fmt::format("kubeconfig {} is not a YAML object; it should begin with `apiVersion: v1` "
                    "and `kind: Config`",
                    file.string()));
  }
  const Json& root = documents->front().value;
  merge_list(root, "clusters", "cluster", file, merged.clusters);
  merge_list(root, "users", "user", file, merged.users);
  merge_list(root, "contexts", "context", file, merged.contexts);
  if (merged.current_context.empty()) merged.current_context = text_at(root, "current-context");
  merged.source += (merged.source.empty() ? "" : ":") + file.string();
  return {};
}

// The value of `<name>-data` (base64), else of the file that `<name>` names, relative to the kubeconfig's
// folder.
struct Material {
  std::string text;
  std::string file;
};
Result<Material> material(const Entry& entry, const char* name) {
  const std::string data_name = std::string(name) + "-data";
  if (const std::string data = text_at(entry.node, data_name.c_str()); !data.empty()) {
    auto bytes = base64_decode(data);
    if (!bytes) {
      return invalid_argument(fmt::format("kubeconfig {}: {} is not base64", entry.file.string(), data_name));
    }
    return Material{std::move(*bytes), {}};
  }
  const std::string path = text_at(entry.node, name);
  if (path.empty()) return Material{};
  const fs::path file = entry.file.parent_path() / path;
  auto text = read_file(file, name);
  if (!text) return text.error().in("kubeconfig " + entry.file.string());
  return Material{std::move(*text), file.string()};
}

Result<ExecPlugin> exec_plugin(const Json& exec, const Entry& user, const ClusterConfig& cluster) {
  ExecPlugin plugin;
  plugin.command = text_at(exec, "command");
  plugin.api_version = text_at(exec, "apiVersion");
  plugin.install_hint = text_at(exec, "installHint");
  const auto bad = [&](std::string_view fact) {
    return invalid_argument(fmt::format("kubeconfig {}: users.user.exec: {}", user.file.string(), fact));
  };
  if (plugin.command.empty()) return bad("command is missing");
  if (plugin.command.find('/') != std::string::npos && plugin.command.front() != '/') {
    plugin.command = (user.file.parent_path() / plugin.command).string();
  }
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    return bad(fmt::format("apiVersion \"{}\" is not client.authentication.k8s.io/v1 or v1beta1",
                           plugin.api_version));
  }
  if (const Json& args = member(exec, "args"); args.is_array()) {
    for (const Json& arg : args) {
      if (!arg.is_string()) return bad(fmt::format("args: {} is not text; put it in quotes", arg.dump()));
      plugin.arguments.push_back(arg.get<std::string>());
    }
  }
  if (const Json& env = member(exec, "env"); env.is_array()) {
    for (const Json& pair : env)
      plugin.environment.emplace_back(text_at(pair, "name"), text_at(pair, "value"));
  }
  if (text_at(exec, "interactiveMode") == "Always") {
    return bad("interactiveMode Always needs a terminal, which is not offered; use IfAvailable or Never");
  }
  if (text_at(exec, "provideClusterInfo") == "true") {
    plugin.cluster = Json{{"server", cluster.server}};
    if (!cluster.ca_pem.empty()) plugin.cluster["certificate-authority-data"] = base64_encode(cluster.ca_pem);
    if (!cluster.tls_server_name.empty()) plugin.cluster["tls-server-name"] = cluster.tls_server_name;
    if (cluster.insecure_skip_tls_verify) plugin.cluster["insecure-skip-tls-verify"] = true;
  }
  return plugin;
}

Result<std::shared_ptr<IdentitySource>> identity_of(const Entry& user, const ClusterConfig& cluster) {
  const Json& node = user.node;
  if (node.contains("auth-provider")) {
    return invalid_argument(
        fmt::format("kubeconfig {}: users.user.auth-provider is no longer supported by Kubernetes; "
                    "use an exec plugin, a token or certificates",
                    user.file.string()));
  }
  for (const char* name : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (node.contains(name)) {
      return invalid_argument(
          fmt::format("kubeconfig {}: users.user.{} (impersonation) is not supported; remove it",
                      user.file.string(), name));
    }
  }
  Identity identity;
  MUSTER_ASSIGN(Material certificate, material(user, "client-certificate"));
  MUSTER_ASSIGN(Material key, material(user, "client-key"));
  if (certificate.text.empty() != key.text.empty()) {
    return invalid_argument(fmt::format(
        "kubeconfig {}: client-certificate and client-key must be given together", user.file.string()));
  }
  identity.client_certificate_pem = std::move(certificate.text);
  identity.client_key_pem = std::move(key.text);
  identity.bearer_token = text_at(node, "token");
  identity.username = text_at(node, "username");
  identity.password = text_at(node, "password");
  const std::string token_file = text_at(node, "tokenFile");
  if (const Json& exec = member(node, "exec"); exec.is_object()) {
    MUSTER_ASSIGN(ExecPlugin plugin, exec_plugin(exec, user, cluster));
    return exec_identity(std::move(plugin));
  }
  if (!token_file.empty()) {  // wins over token, as in kubectl
    identity.bearer_token.clear();
    return token_file_identity(std::move(identity), user.file.parent_path() / token_file);
  }
  return static_identity(std::move(identity));
}

Result<ClusterConfig> cluster_of(const Entry& entry) {
  ClusterConfig cluster;
  cluster.server = text_at(entry.node, "server");
  while (!cluster.server.empty() && cluster.server.back() == '/') cluster.server.pop_back();
  if (!cluster.server.starts_with("https://") && !cluster.server.starts_with("http://")) {
    return invalid_argument(
        fmt::format("kubeconfig {}: clusters.cluster.server \"{}\" is not a URL; it should look "
                    "like https://host:6443",
                    entry.file.string(), cluster.server));
  }
  if (const std::string proxy = text_at(entry.node, "proxy-url"); !proxy.empty()) {
    return invalid_argument(
        fmt::format("kubeconfig {}: clusters.cluster.proxy-url is not supported; connect directly "
                    "or through a tunnel",
                    entry.file.string()));
  }
  cluster.insecure_skip_tls_verify = text_at(entry.node, "insecure-skip-tls-verify") == "true";
  cluster.tls_server_name = text_at(entry.node, "tls-server-name");
  MUSTER_ASSIGN(Material ca, material(entry, "certificate-authority"));
  cluster.ca_pem = std::move(ca.text);
  cluster.ca_file = std::move(ca.file);
  if (cluster.insecure_skip_tls_verify && !cluster.ca_pem.empty()) {
    return invalid_argument(
        fmt::format("kubeconfig {}: insecure-skip-tls-verify and certificate-authority exclude each "
                    "other; remove one",
                    entry.file.string()));
  }
  return cluster;
}

const Entry* find(const std::map<std::string, Entry>& entries, const std::string& name) {
  const auto found = entries.find(name);
  return found == entries.end() ? nullptr : &found->second;
}

// The context by which what `options` does not name is found; null: it names both cluster and user, and there
// is none.
Result<const Entry*> context_of(const Merged& merged, const KubeConfigOptions& options) {
  const std::string& name = options.context.empty() ? merged.current_context : options.context;
  const Entry* context = find(merged.contexts, name);
  const bool needed = !options.context.empty() || options.cluster.empty() || options.user.empty();
  if (context != nullptr || !needed) return context;
  if (name.empty()) {
    return invalid_argument(
        fmt::format("kubeconfig {} has no current-context; set one or name a context", merged.source));
  }
  return invalid_argument(fmt::format("kubeconfig {} has no context \"{}\"", merged.source, name));
}

// `named`: in the stead of what the context names. Null: neither names one.
Result<const Entry*> part_of(const Merged& merged, const std::map<std::string, Entry>& entries,
                             const char* what, const std::string& named, const Entry* context) {
  const std::string name = named.empty() && context != nullptr ? text_at(context->node, what) : named;
  const Entry* entry = find(entries, name);
  if (entry != nullptr || (name.empty() && std::string_view(what) == "user")) return entry;
  if (!named.empty())
    return invalid_argument(fmt::format("kubeconfig {} has no {} \"{}\"", merged.source, what, name));
  return invalid_argument(fmt::format("kubeconfig {}: its context names {} \"{}\", which is not there",
                                      merged.source, what, name));
}

Result<ClusterConfig> resolve(const Merged& merged, const KubeConfigOptions& options) {
  MUSTER_ASSIGN(const Entry* context, context_of(merged, options));
  MUSTER_ASSIGN(const Entry* cluster, part_of(merged, merged.clusters, "cluster", options.cluster, context));
  MUSTER_ASSIGN(const Entry* user, part_of(merged, merged.users, "user", options.user, context));
  MUSTER_ASSIGN(ClusterConfig config, cluster_of(*cluster));
  config.source = merged.source;
  if (const std::string ns = context == nullptr ? "" : text_at(context->node, "namespace"); !ns.empty())
    config.default_namespace = ns;
  if (user == nullptr) {
    config.identity = static_identity({});
    return config;
  }
  MUSTER_ASSIGN(config.identity, identity_of(*user, config));
  return config;
}

// $KUBECONFIG's files that exist, else ~/.kube/config if it does and `home_too`.
std::vector<fs::path> default_files(bool home_too) {
  std::vector<fs::path> files;
  std::error_code ignored;
  if (const char* list = std::getenv("KUBECONFIG"); list != nullptr && *list != '\0') {
    std::istringstream parts(list);
    for (std::string part; std::getline(parts, part, ':');) {
      if (!part.empty() && fs::exists(part, ignored)) files.emplace_back(part);
    }
    return files;
  }
  const char* home = std::getenv("HOME");
  if (home_too && home != nullptr && fs::exists(fs::path(home) / ".kube/config", ignored)) {
    files.push_back(fs::path(home) / ".kube/config");
  }
  return files;
}

// Of a pod's own account nothing can be named: it would be another cluster, or another user, than was meant.
Status refuse_names(const KubeConfigOptions& options) {
  for (const auto& [flag, name] :
       {std::pair("--context", &options.context), std::pair("--cluster", &options.cluster),
        std::pair("--user", &options.user)})
    if (!name->empty())
      return not_found(
          fmt::format("{} {}: there is no kubeconfig in which to look for it, only this pod's service "
                      "account; give --kubeconfig, or set KUBECONFIG, or leave {} out",
                      flag, *name, flag));
  return {};
}

}  // namespace

Result<ClusterConfig> load_cluster_config(const KubeConfigOptions& options) {
  std::vector<fs::path> files;
  if (!options.path.empty()) {
    files.emplace_back(options.path);
  } else {
    const bool in_pod = std::getenv("KUBERNETES_SERVICE_HOST") != nullptr;
    files = default_files(!(in_pod && options.controller));
    // Without a cluster the volume of the account is a folder elsewhere.
    if (files.empty() && in_pod) {
      MUSTER_TRY(refuse_names(options));
      return in_cluster_config(resolve_mount(kAccountFolder));
    }
    if (files.empty()) {
      const char* list = std::getenv("KUBECONFIG");
      return not_found(
          list != nullptr && *list != '\0'
              ? fmt::format("none of the files in KUBECONFIG={} exists; correct it, or give --kubeconfig",
                            list)
              : std::string("no cluster is configured: there is no --kubeconfig, no KUBECONFIG, no "
                            "~/.kube/config, and this is not a pod; give one of them"));
    }
  }
  Merged merged;
  for (const fs::path& file : files) MUSTER_TRY(merge_file(file, merged));
  return resolve(merged, options);
}

Result<ClusterConfig> in_cluster_config(const fs::path& folder) {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr || *host == '\0' || *port == '\0') {
    return not_found(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is not a pod; give "
        "--kubeconfig");
  }
  ClusterConfig config;
  std::string name = host;
  // The transport cannot connect to a literal IPv6 address; the API server's certificate has this name, too.
  if (name.find(':') != std::string::npos) name = "kubernetes.default.svc";
  config.server = fmt::format("https://{}:{}", name, port);
  config.ca_file = (folder / "ca.crt").string();
  MUSTER_ASSIGN(config.ca_pem, read_file(config.ca_file, "the service account's CA"));
  if (auto ns = read_file(folder / "namespace", "the service account's namespace"); ns && !ns->empty()) {
    config.default_namespace = *ns;
  }
  config.in_pod = true;
  config.source = "the pod's service account";
  config.identity = token_file_identity({}, folder / "token");
  return config;
}

}  // namespace muster::kube
