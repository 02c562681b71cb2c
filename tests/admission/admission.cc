// tests/admission/admission.cc: objects of both kinds as the API server and the operator judge them
#include "tests/admission/admission.h"

#include <fstream>
#include <map>
#include <regex>

#include "common/json/access.h"
#include "operator/api/distributed_job.h"
#include "operator/api/federated_round.h"

namespace muster::admission {
namespace {

std::string collection(const Json& object) {
  return "/apis/muster.dev/v1alpha1/namespaces/default/" +
         std::string(object["kind"] == "DistributedJob" ? "distributedjobs" : "federatedrounds");
}

std::string path_of(const Json& object) { return collection(object) + "/" + meta_text(object, "name"); }

constexpr const char* kDryRun = "?fieldValidation=Strict&dryRun=All";

Verdict verdict_of(const local::HttpResponse& response) {
  Verdict verdict{.code = response.status, .message = {}, .causes = {}, .object = Json::parse(response.body)};
  if (verdict.taken()) return verdict;
  verdict.message = text_at(verdict.object, "message");
  verdict.causes = member(verdict.object, "details", "causes");
  return verdict;
}

}  // namespace

Json load(const std::string& path) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/" + path);
  const auto read = local::parse_yaml(std::string{std::istreambuf_iterator<char>(file), {}});
  EXPECT_TRUE(read) << path << ": " << (read ? "" : read.error().message);
  return read ? *read : Json::object();
}

const std::vector<Sample>& samples() {
  static const std::vector<Sample> kAll = [] {
    std::vector<Sample> list;
    for (const char* name :
         {"job-own-program", "job-in-place",  "job-program",   "job-csv",        "job-synthetic",
          "job-served",      "job-gossip",    "job-local",     "round-csv",      "round-synthetic",
          "round-fedavgm",   "round-fedadam", "round-fedprox", "round-qfedavg",  "round-perfedavg",
          "round-trimmed",   "round-krum",    "round-scoring", "round-personal", "round-stream",
          "round-scaffold",  "round-fedbuff", "round-late",    "round-program"})
      list.push_back({name, load("tests/admission/samples/" + std::string(name) + ".yaml")});
    return list;
  }();
  return kAll;
}

Json sample(const std::string& file) {
  for (const Sample& each : samples())
    if (each.file == file) return each.object;
  ADD_FAILURE() << "no sample " << file;
  return {};
}

const Json& schema_of(const std::string& kind) {
  static std::map<std::string, Json> schemas;
  Json& schema = schemas[kind];
  if (schema.is_null())
    schema = load("crds/muster.dev_" +
                  std::string(kind == "DistributedJob" ? "distributedjobs" : "federatedrounds") +
                  ".yaml")["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
  return schema;
}

std::string Verdict::about(const std::string& path) const {
  std::string said;
  if (causes.is_array())
    for (const Json& cause : causes)
      if (text_at(cause, "field") == path) said += text_at(cause, "message") + "\n";
  return said.empty() && message.find(path) != std::string::npos ? message : said;
}

Server::Server() {
  for (const char* name : {"distributedjobs", "federatedrounds"}) {
    const auto answer = api_.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                                  load("crds/muster.dev_" + std::string(name) + ".yaml"));
    EXPECT_EQ(answer.status, 201) << answer.body;
  }
}

Verdict Server::create(const Json& object) {
  return verdict_of(api_.call("POST", collection(object) + kDryRun, object));
}

Verdict Server::create_pod(const Json& manifest) {
  return verdict_of(api_.call("POST", std::string("/api/v1/namespaces/default/pods") + kDryRun, manifest));
}

Json Server::keep(const Json& object) {
  auto made = verdict_of(api_.call("POST", collection(object), object));
  EXPECT_TRUE(made.taken()) << made.message;
  if (!object.contains("status")) return made.object;
  made.object["status"] = object["status"];
  made = verdict_of(api_.call("PUT", path_of(object) + "/status", made.object));
  EXPECT_TRUE(made.taken()) << made.message;
  return made.object;
}

void Server::remove(const Json& object) {
  const auto gone = api_.call("DELETE", path_of(object));
  EXPECT_EQ(gone.status, 200) << gone.body;
}

Verdict Server::change(const Json& changed) {
  return verdict_of(api_.call("PUT", path_of(changed) + kDryRun, changed));
}

Verdict Server::change_status(const Json& changed) {
  return verdict_of(api_.call("PUT", path_of(changed) + "/status" + kDryRun, changed));
}

Status read(const Json& object) {
  const Json& spec = member(object, "spec");
  if (object["kind"] == "DistributedJob") {
    if (auto job = op::api::distributed_job_spec_from_json(spec); !job) return job.error();
  } else if (auto round = op::api::federated_round_spec_from_json(spec); !round) {
    return round.error();
  }
  return {};
}

bool has_remedy(const std::string& message) {
  static const std::regex kRemedy(
      "must be |must begin|must equal|use one of|use a |known here|required field|remove it|remove the "
      "field|choose |lower |raise |"
      "needed |needs |at most |at least |begin it|write |such as |add |exactly one|1 to |name a |such "
      "as|delete it|and create another|can be changed only");
  return std::regex_search(message, kRemedy);
}

}  // namespace muster::admission
