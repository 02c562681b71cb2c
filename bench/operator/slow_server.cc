// bench/operator/slow_server.cc: the parts of the embedded API server, around a port that answers late
#include "bench/operator/slow_server.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "local/api/certificate.h"
#include "local/api/controllers.h"
#include "local/api/http_listener.h"
#include "local/api/local_client.h"
#include "local/api/yaml.h"

namespace muster {
namespace {

template <typename T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "operator_bench: {}\n", result.error().message);
  std::exit(1);
}

class SlowApi final : public local::HttpApi {
 public:
  SlowApi(local::ObjectStore& store, local::Kinds& kinds, local::Rest& rest, std::string token,
          std::chrono::milliseconds delay)
      : HttpApi(store, kinds, rest, {.token = std::move(token)}), delay_(delay) {}

  local::HttpResponse handle(const local::HttpRequest& request) override {
    if (request.method == "GET") return HttpApi::handle(request);
    std::this_thread::sleep_for(delay_);
    count(request);
    return HttpApi::handle(request);
  }
  std::map<std::string, int> take_writes() {
    const std::lock_guard lock(mutex_);
    return std::exchange(writes_, {});
  }

 private:
  // ".../namespaces/default/pods/x" and ".../distributedjobs/x/status" are of pods and distributedjobs.
  void count(const local::HttpRequest& request) {
    const auto from = request.path.find("/default/");
    if (from == std::string::npos) return;
    const std::string rest = request.path.substr(from + 9);
    const std::lock_guard lock(mutex_);
    ++writes_[request.method + " " + rest.substr(0, rest.find('/'))];
  }
  const std::chrono::milliseconds delay_;
  std::mutex mutex_;
  std::map<std::string, int> writes_;
};

}  // namespace

struct SlowServer::Impl {
  std::filesystem::path folder;
  std::string token = must(local::make_token());
  local::Certificate certificate = must(local::make_certificate("127.0.0.1"));
  local::ObjectStore store;
  local::Kinds kinds;
  local::Rest rest{store, kinds};
  local::Controllers controllers{store, kinds, rest, std::chrono::seconds(3600), certificate.certificate_pem};
  SlowApi api;
  local::LocalClient client{api, store};
  std::unique_ptr<local::HttpListener> listener;

  explicit Impl(std::chrono::milliseconds delay) : api(store, kinds, rest, token, delay) {
    std::string path = (std::filesystem::temp_directory_path() / "muster-bench-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) must<int>(internal_error("cannot make a temporary folder"));
    folder = path;
    rest.set_hooks(&controllers);
    controllers.start();
    for (const char* name : {"muster.dev_distributedjobs.yaml", "muster.dev_federatedrounds.yaml"}) {
      std::ostringstream text;
      text << std::ifstream(std::filesystem::path(MUSTER_CRDS) / name).rdbuf();
      for (const Json& crd : must(local::parse_yaml_documents(text.str())))
        must(client.create("customresourcedefinitions.apiextensions.k8s.io", "", crd));
    }
    listener = must(local::HttpListener::open(api, "127.0.0.1", 0, certificate));
    const std::string url = fmt::format("https://127.0.0.1:{}", listener->port());
    const auto written = local::write_private_file(
        folder / "kubeconfig", local::make_kubeconfig(url, certificate.certificate_pem, token));
    if (!written) must<int>(written.error());
  }
  ~Impl() {
    api.close();
    store.close();
    controllers.stop();
    listener->close();
    std::filesystem::remove_all(folder);
  }
};

SlowServer::SlowServer(std::chrono::milliseconds write_delay) : impl_(std::make_unique<Impl>(write_delay)) {}
SlowServer::~SlowServer() = default;
std::string SlowServer::kubeconfig() const { return (impl_->folder / "kubeconfig").string(); }
std::map<std::string, int> SlowServer::take_writes() { return impl_->api.take_writes(); }

}  // namespace muster
