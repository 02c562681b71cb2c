// local/tests/api/random_client_test.cc: random requests for some seconds, and what must hold all the time
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "local/api/api_server.h"
#include "local/tests/api/mirror.h"
#include "local/tests/api/random_requests.h"

namespace muster::local {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::HttpsClient;
using testing::HttpsTarget;

constexpr int kClients = 3;
// The history of every kind is bounded, and so is the number of names. The address sanitizer keeps 256 MiB of
// what was freed.
#ifdef __SANITIZE_ADDRESS__
constexpr double kGrowthMib = 800;
#else
constexpr double kGrowthMib = 400;
#endif

std::uint64_t environment_number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

double anonymous_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("RssAnon:", 0) == 0) return std::stod(line.substr(8)) / 1024;
  return 0;
}

constexpr const char* kGadgets = R"(
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer, minimum: 1, default: 3}, greeting: {type: string}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
)";

class RandomClient {
 public:
  RandomClient(HttpsTarget target, std::uint64_t seed) : target_(std::move(target)), requests_(seed) {}

  void run(steady_clock::time_point end) {
    while (steady_clock::now() < end && problem.empty()) step();
  }

  std::string problem;
  std::size_t count = 0;
  std::map<int, std::size_t> by_status;

 private:
  void step() {
    if (!client_) {
      auto connected = HttpsClient::connect(target_);
      if (!connected) return complain({}, connected.error().message);
      client_.emplace(std::move(*connected));
      client_->set_patience(20s);
    }
    const RandomRequest request = requests_.next();
    std::string text = client_->head(request.method, request.path, request.body.size(), request.content_type);
    const std::string accept = "Accept: application/json";
    text.replace(text.find(accept), accept.size(), "Accept: " + request.accept);
    if (!client_->send(text + request.body)) return complain(request, "it cannot be sent");
    const auto answer = client_->receive_response(request.method == "HEAD");
    ++count;
    if (!answer) return complain(request, answer.error().message);
    ++by_status[answer->status];
    if (answer->head.find("Connection: close") != std::string::npos) client_.reset();
    check(request, *answer);
  }

  void check(const RandomRequest& request, const testing::HttpsResponse& answer) {
    // Token requests are 501; to an apply that it cannot type the real server, too, answers 500.
    const bool meant = answer.status == 501 || answer.status == 504 ||
                       answer.body.find("failed to create typed patch object") != std::string::npos;
    if (answer.status >= 500 && !meant) return complain(request, answer.body);
    if (request.method == "HEAD" || answer.head.find("Content-Type: application/json") == std::string::npos)
      return;
    if (request.path.find("watch") != std::string::npos) return;
    const Json json = Json::parse(answer.body, nullptr, false);
    if (json.is_discarded())
      return complain(request, "its answer is not JSON: " + answer.body.substr(0, 300));
    if (answer.status >= 400 && json.value("status", "") != "Failure")
      return complain(request, "its answer is no Status: " + answer.body.substr(0, 300));
    if (answer.status != 201 || request.method != "POST" || request.path.find("dryRun") != std::string::npos)
      return;
    const Json& metadata = json.contains("metadata") ? json["metadata"] : json;
    const std::string version = metadata.value("resourceVersion", "");
    if (version.empty()) return;  // a review is not stored
    if (std::stoull(version) <= last_created_)
      return complain(request, "version " + version + " is not above " + std::to_string(last_created_));
    last_created_ = std::stoull(version);
  }

  void complain(const RandomRequest& request, const std::string& what) {
    problem = request.method + " " + request.path + " (" + request.content_type + "): " + what +
              "\nbody: " + request.body.substr(0, 2000);
  }

  const HttpsTarget target_;
  RandomRequests requests_;
  std::optional<HttpsClient> client_;
  std::uint64_t last_created_ = 0;
};

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(RandomClient, FindsNothingThatBreaksTheRules) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto seconds = std::chrono::seconds(environment_number("MUSTER_RANDOM_SECONDS", 4));
  const std::uint64_t seed = environment_number("MUSTER_RANDOM_SEED", std::random_device{}());
  std::cout << "seed " << seed << " (MUSTER_RANDOM_SEED repeats it, MUSTER_RANDOM_SECONDS runs longer)\n";
  std::string folder = (std::filesystem::temp_directory_path() / "muster-random-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  ApiServer::Options options;
  options.folder = folder;
  options.crds = {kGadgets};
  for (const auto& file : std::filesystem::directory_iterator(MUSTER_CRDS))
    options.crds.push_back(read(file.path()));
  auto server = ApiServer::start(std::move(options));
  ASSERT_TRUE(server) << server.error().message;
  const auto target = testing::https_target((*server)->kubeconfig_path().string());
  ASSERT_TRUE(target);
  {
    auto client = HttpsClient::connect(*target);
    ASSERT_TRUE(client);
    for (const char* name : {"r1", "r2"})
      ASSERT_TRUE(client->request("POST", "/api/v1/namespaces", Json{{"metadata", {{"name", name}}}}.dump()));
  }
  {
    std::vector<std::unique_ptr<Mirror>> mirrors;
    for (const char* path :
         {"/api/v1/configmaps", "/api/v1/pods", "/api/v1/secrets", "/api/v1/services", "/api/v1/namespaces",
          "/apis/apps/v1/deployments", "/apis/coordination.k8s.io/v1/leases"})
      mirrors.push_back(std::make_unique<Mirror>(*target, path));
    std::vector<std::unique_ptr<RandomClient>> clients;
    for (std::uint64_t i = 0; i < kClients; ++i)
      clients.push_back(std::make_unique<RandomClient>(*target, seed + i));
    const auto end = steady_clock::now() + seconds;
    std::vector<std::thread> threads;
    threads.reserve(clients.size());
    for (const auto& client : clients) threads.emplace_back([&client, end] { client->run(end); });
    const double before = anonymous_mib();
    for (std::thread& thread : threads) thread.join();
    const double grown = anonymous_mib() - before;
    std::size_t count = 0;
    std::map<int, std::size_t> by_status;
    for (const auto& client : clients) {
      EXPECT_EQ(client->problem, "");
      count += client->count;
      for (const auto& [status, times] : client->by_status) by_status[status] += times;
    }
    std::cout << count << " requests, memory grew by " << grown << " MiB; by status:";
    for (const auto& [status, times] : by_status) std::cout << " " << status << " " << times << ",";
    std::cout << "\n";
    EXPECT_LT(grown, kGrowthMib);
    EXPECT_GT(by_status[200] + by_status[201], count / 10);  // else it tests refusals alone
    auto client = HttpsClient::connect(*target);
    ASSERT_TRUE(client);
    for (const auto& mirror : mirrors) {  // the garbage collector may still be at work: the two meet, then
      const auto deadline = steady_clock::now() + 20s;
      while (mirror->objects() != Mirror::list(*client, mirror->path()) && steady_clock::now() < deadline &&
             mirror->problem().empty())
        std::this_thread::yield();
      EXPECT_EQ(mirror->problem(), "");
      EXPECT_EQ(mirror->objects(), Mirror::list(*client, mirror->path())) << mirror->path();
      std::cout << mirror->path() << ": " << mirror->events() << " events, " << mirror->objects().size()
                << " objects left\n";
    }
  }
  (*server)->stop();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace muster::local
