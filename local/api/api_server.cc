// local/api/api_server.cc: puts the store, the kinds, the rules and the port together
#include "local/api/api_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <mutex>

#include "local/api/audit_log.h"
#include "local/api/certificate.h"
#include "local/api/controllers.h"
#include "local/api/http_listener.h"
#include "local/api/metadata.h"
#include "local/api/yaml.h"

namespace muster::local {
namespace {

bool is_loopback(const std::string& ip) {
  in_addr address{};
  return inet_pton(AF_INET, ip.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

Status prepare_folder(const std::filesystem::path& folder) {
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  if (!problem) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, problem);
  if (problem)
    return Error{Code::kPermissionDenied,
                 fmt::format("cannot make the folder {}: {}", folder.string(), problem.message())};
  return {};
}

}  // namespace

struct ApiServer::Impl {
  Options options;
  ObjectStore store;
  Kinds kinds;
  Rest rest{store, kinds};
  Controllers controllers;
  std::unique_ptr<AuditLog> audit;
  HttpApi api;
  LocalClient client{api, store};
  std::unique_ptr<HttpListener> listener;
  std::string url;
  std::once_flag stopped;

  Impl(Options from, std::string token, const std::string& certificate_pem,
       std::unique_ptr<AuditLog> audit_log)
      : options(std::move(from)),
        controllers(store, kinds, rest, options.event_lifetime, certificate_pem),
        audit(std::move(audit_log)),
        api(store, kinds, rest, HttpApi::Options{std::move(token), options.watch_list, audit.get()}) {}

  Status install_crds() {
    for (const std::string& text : options.crds) {
      auto documents = parse_yaml_documents(text);
      if (!documents) return documents.error().in("a CustomResourceDefinition of this program");
      for (const Json& crd : *documents) {
        auto created = client.create("customresourcedefinitions.apiextensions.k8s.io", "", crd);
        if (!created) return created.error().in("CustomResourceDefinition " + meta_text(crd, "name"));
      }
    }
    return {};
  }
};

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApiServer::~ApiServer() { stop(); }

Result<std::unique_ptr<ApiServer>> ApiServer::start(Options options) {
  if (!is_loopback(options.ip))
    return invalid_argument(
        fmt::format("the API server listens on loopback addresses only (127.x.y.z), not on {}", options.ip));
  MUSTER_TRY(prepare_folder(options.folder));
  MUSTER_ASSIGN(std::string token, make_token());
  MUSTER_ASSIGN(const Certificate certificate, make_certificate(options.ip));
  std::unique_ptr<AuditLog> audit;
  if (!options.audit_log.empty()) {
    MUSTER_ASSIGN(audit, AuditLog::open(options.audit_log));
  }
  auto impl =
      std::make_unique<Impl>(std::move(options), token, certificate.certificate_pem, std::move(audit));
  impl->rest.set_hooks(&impl->controllers);
  impl->controllers.start();
  impl->api.attach_logs(impl->options.logs);
  MUSTER_TRY(impl->install_crds());
  MUSTER_ASSIGN(impl->listener,
                HttpListener::open(impl->api, impl->options.ip, impl->options.port, certificate));
  impl->url = fmt::format("https://{}:{}", impl->options.ip, impl->listener->port());
  MUSTER_TRY(write_private_file(impl->options.folder / "kubeconfig",
                                make_kubeconfig(impl->url, certificate.certificate_pem, token)));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

std::string ApiServer::url() const { return impl_->url; }
int ApiServer::port() const { return impl_->listener->port(); }
std::filesystem::path ApiServer::kubeconfig_path() const { return impl_->options.folder / "kubeconfig"; }
void ApiServer::attach_logs(LogSource* logs) { impl_->api.attach_logs(logs); }
ObjectStore& ApiServer::store() { return impl_->store; }
LocalClient& ApiServer::client() { return impl_->client; }

void ApiServer::stop() {
  std::call_once(impl_->stopped, [this] {
    impl_->api.close();
    impl_->store.close();
    impl_->controllers.stop();
    if (impl_->listener) impl_->listener->close();
  });
}

}  // namespace muster::local
