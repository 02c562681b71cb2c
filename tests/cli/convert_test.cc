// tests/cli/convert_test.cc: what cli/convert promises: no field is lost, and what comes out is a
// DistributedJob
#include "cli/convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/convert/conversion.h"
#include "cli/manifest.h"
#include "common/json/access.h"
#include "operator/api/distributed_job.h"

namespace muster::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::filesystem::path> inputs() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(CONVERT_DATA)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream out;
  out << std::ifstream(file).rdbuf();
  return out.str();
}

std::vector<Json> documents_of(const std::string& text) {
  std::vector<Json> documents;
  auto read = parse_yaml(text, "input");
  EXPECT_TRUE(read) << (read ? "" : read.error().message) << text;
  if (read)
    for (YamlDocument& document : flatten_lists(std::move(*read)))
      documents.push_back(std::move(document.value));
  return documents;
}

std::string joined(const std::vector<Json>& documents) {
  std::string text;
  for (const Json& document : documents) text += "---\n" + to_yaml(document);
  return text;
}

// The reader of the operator takes every job in `text`.
void expect_accepted(const std::string& text) {
  for (const Json& object : documents_of(text)) {
    if (text_at(object, "kind") != "DistributedJob") continue;
    const auto read = op::api::distributed_job_spec_from_json(member(object, "spec"));
    EXPECT_TRUE(read) << (read ? "" : read.error().message) << "\n" << text;
  }
}

std::string converted(const std::string& text) {
  const auto result = convert_manifests(text, "job.yaml");
  return result ? result->yaml : "error: " + result.error().message;
}

Json job_of(const std::string& text) {
  const std::vector<Json> documents = documents_of(converted(text));
  EXPECT_EQ(documents.size(), 1U) << converted(text);
  return documents.empty() ? Json() : documents.front();
}

void each_value(const Json& value, const std::string& at,
                const std::function<void(const std::string&, const Json&)>& visit) {
  visit(at, value);
  if (!value.is_structured()) return;
  std::size_t index = 0;
  for (const auto& [key, item] : value.items())
    each_value(item, value.is_object() ? below(at, key) : below(at, index++), visit);
}

// Whoever looks for the field finds it: its new value, or its path in a comment or in the error.
bool told(const std::string& out, const std::string& pointer, const std::string& marker) {
  if (out.find(marker) != std::string::npos) return true;
  // status, managedFields and the like are told as a whole
  for (std::string at = pointer; !at.empty(); at.resize(at.rfind('/')))
    if (out.find("# " + dotted(at) + "\n") != std::string::npos) return true;
  return out.find(dotted(pointer) + ":") != std::string::npos;
}

TEST(Convert, TakesEveryExampleToWhatTheOperatorAccepts) {
  ASSERT_GE(inputs().size(), 6U);
  for (const auto& file : inputs()) {
    SCOPED_TRACE(file.filename());
    const auto result = convert_manifests(text_of(file), file.filename());
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(result->yaml, HasSubstr("kind: DistributedJob"));
    expect_accepted(result->yaml);
  }
}

// Each leaf in turn gets a value that occurs nowhere else.
TEST(Convert, LosesNoField) {
  int fields = 0;
  for (const auto& file : inputs()) {
    const std::vector<Json> documents = documents_of(text_of(file));
    for (std::size_t d = 0; d < documents.size(); ++d) {
      each_value(documents[d], "", [&](const std::string& at, const Json& value) {
        if (value.is_structured() || value.is_null() || at == "/apiVersion" || at == "/kind") return;
        std::vector<Json> changed = documents;
        const Json marker = value.is_number()    ? Json(987)
                            : value.is_boolean() ? Json(!value.get<bool>())
                            : at.find("/resources") != std::string::npos
                                ? Json("98765Mi")  // the reader takes quantities only
                                : Json("zq17x");
        changed[d][Json::json_pointer(at)] = marker;
        const std::string out = converted(joined(changed));
        const bool runtime = text_at(documents[d], "kind") == "ClusterTrainingRuntime";
        if (runtime && (at.starts_with("/metadata") || at == "/spec/runtimeRef"))
          return;  // a name, or its label
        EXPECT_TRUE(told(out, (runtime ? "/runtime" : "") + at, value.is_boolean() ? "#" : marker.dump()) ||
                    told(out, at, text(marker, "987")))
            << file.filename() << at << "\n"
            << out;
        if (!out.starts_with("error: ")) expect_accepted(out);
        ++fields;
      });
    }
  }
  EXPECT_GT(fields, 150);
}

// Each map in turn gets a field that nobody knows.
TEST(Convert, TellsOfFieldsThatItDoesNotKnow) {
  for (const auto& file : inputs()) {
    const std::vector<Json> documents = documents_of(text_of(file));
    for (std::size_t d = 0; d < documents.size(); ++d) {
      each_value(documents[d], "", [&](const std::string& at, const Json& value) {
        if (!value.is_object()) return;
        const bool runtime = text_at(documents[d], "kind") == "ClusterTrainingRuntime";
        if (runtime && at.starts_with("/metadata")) return;
        std::vector<Json> changed = documents;
        changed[d][Json::json_pointer(below(at, "zqField"))] = "zqValue";
        const std::string out = converted(joined(changed));
        EXPECT_TRUE(told(out, (runtime ? "/runtime" : "") + below(at, "zqField"), "zqField")) << at << "\n"
                                                                                              << out;
      });
    }
  }
}

constexpr const char* kJob = R"(apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: p}
spec:
  pytorchReplicaSpecs:
    Worker:
      restartPolicy: Never
      template: {spec: {containers: [{name: pytorch, image: i}]}}
)";

TEST(Convert, MakesOnePoolOfMasterAndWorkers) {
  const Json job = job_of(text_of(std::filesystem::path(CONVERT_DATA) / "pytorch_mnist.yaml"));
  EXPECT_EQ(job["spec"]["workers"]["replicas"], 4);
  EXPECT_EQ(job["spec"]["workers"]["processesPerNode"], 2);
  EXPECT_EQ(job["spec"]["workers"]["masterPort"], 23456);
  EXPECT_EQ(job["spec"]["runPolicy"], Json::parse(R"({"maxRestarts": 5, "ttlSecondsAfterFinished": 3600,
      "activeDeadlineSeconds": 86400, "cleanPodPolicy": "Running"})"));
  EXPECT_EQ(job["metadata"]["namespace"], "research");
}

TEST(Convert, TakesTheWorkersTemplateAndTellsWhereTheMastersDiffers) {
  const std::string out = converted(text_of(std::filesystem::path(CONVERT_DATA) / "pytorch_differs.yaml"));
  EXPECT_THAT(out, HasSubstr("# spec.pytorchReplicaSpecs.Master.template.spec.nodeSelector.disk: \"ssd\"\n"));
  EXPECT_THAT(out, HasSubstr("containers[0].args[2]: \"--log\"\n")) << "args are compared one by one";
  EXPECT_THAT(out, Not(HasSubstr("Master.template.spec.containers[0].image"))) << "both have it";
}

TEST(Convert, GivesTheWorkToTheContainerThatDidIt) {
  const Json job = job_of(text_of(std::filesystem::path(CONVERT_DATA) / "pytorch_differs.yaml"));
  const Json& containers = job["spec"]["workers"]["template"]["spec"]["containers"];
  EXPECT_EQ(containers[0]["name"], "worker-sidecar");
  EXPECT_EQ(containers[1]["name"], "worker");
  EXPECT_EQ(containers[1]["image"], "registry.example.com/seg:1");
}

TEST(Convert, TurnsRestartPoliciesIntoLimitsAndRules) {
  EXPECT_EQ(job_of(kJob)["spec"]["runPolicy"]["maxRestarts"], 0);
  const Json policy =
      job_of(text_of(std::filesystem::path(CONVERT_DATA) /
                     "pytorch_differs.yaml"))["spec"]["runPolicy"]["failurePolicy"]["rules"][0];
  EXPECT_EQ(policy["action"], "FailJob");
  EXPECT_EQ(policy["onExitCodes"]["values"].size(), 127U);
}

TEST(Convert, GivesTorchrunItsRendezvous) {
  std::string text = text_of(std::filesystem::path(CONVERT_DATA) / "pytorch_elastic.yaml");
  const std::string begins = R"("generateName": "elastic-")";
  text.replace(text.find(begins), begins.size(), R"("name": "elastic")");
  const std::string out = converted(text);
  EXPECT_THAT(
      out,
      AllOf(HasSubstr("value: $(MASTER_ADDR):29400"), HasSubstr("value: timeout=900,last_call_timeout=60"),
            HasSubstr("# spec.elasticPolicy.rdzvHost: \"elastic-worker-0\""),
            HasSubstr("# spec.elasticPolicy.minReplicas: 1\n    # spec.elasticPolicy.maxReplicas: 4\n")));
}

TEST(Convert, TakesTheRuntimeOfTheSameInput) {
  const std::vector<Json> out =
      documents_of(converted(text_of(std::filesystem::path(CONVERT_DATA) / "trainjob_with_runtime.yaml")));
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0]["kind"], "ConfigMap");
  EXPECT_EQ(out[0]["data"]["lr"], "0.1");
  const Json& spec = out[1]["spec"];
  EXPECT_EQ(spec["workers"]["replicas"], 2);
  EXPECT_EQ(spec["runPolicy"]["maxRestarts"], 2);
  EXPECT_EQ(spec["workers"]["template"]["spec"]["containers"][0]["env"],
            Json::parse(R"([{"name": "LR", "value": "0.5"}, {"name": "KEEP", "value": "1"}])"));
  EXPECT_EQ(spec["workers"]["template"]["metadata"]["labels"]["0"], "zero");
}

TEST(Convert, MakesTheClaimsThatTheRuntimeMade) {
  const std::string yaml =
      converted(text_of(std::filesystem::path(CONVERT_DATA) / "trainjob_torchtune.yaml"));
  const std::vector<Json> out = documents_of(yaml);
  ASSERT_EQ(out.size(), 2U) << yaml;
  EXPECT_EQ(out[0]["kind"], "PersistentVolumeClaim");
  EXPECT_EQ(out[0]["metadata"], Json::parse(R"({"name": "initializer-tune", "namespace": "research"})"));
  EXPECT_EQ(out[0]["spec"]["resources"]["requests"]["storage"], "20Gi");
  EXPECT_EQ(out[1]["spec"]["workers"]["template"]["spec"]["volumes"],
            Json::parse(
                R"([{"name": "initializer", "persistentVolumeClaim": {"claimName": "initializer-tune"}}])"));
  EXPECT_EQ(out[1]["spec"]["workers"]["processesPerNode"], 2);
  EXPECT_EQ(
      out[1]["spec"]["runPolicy"],
      Json::parse(R"({"maxRestarts": 0, "ttlSecondsAfterFinished": 600, "activeDeadlineSeconds": 7200})"));
  EXPECT_EQ(out[1]["metadata"]["labels"]["team"], "nlp");
  EXPECT_THAT(yaml, HasSubstr("volumeClaimPolicies[0].templates[1].metadata.name: \"unused\""));
}

TEST(Convert, GivesJaxItsVariablesAndRefusesPoliciesItCannotKeep) {
  std::string text = text_of(std::filesystem::path(CONVERT_DATA) / "trainjob_jax.yaml");
  EXPECT_EQ(job_of(text)["spec"]["workers"]["template"]["spec"]["containers"][0]["env"],
            Json::parse(R"json([{"name": "JAX_COORDINATOR_ADDRESS", "value": "$(MASTER_ADDR):$(MASTER_PORT)"
},
                            {"name": "JAX_NUM_PROCESSES", "value": "$(PET_NNODES)"},
                            {"name": "JAX_PROCESS_ID", "value": "$(NODE_RANK)"}])json"));
  text.replace(text.find("jax: {}"), 7, "mpi: {numProcPerNode: 4}");
  EXPECT_THAT(converted(text), HasSubstr("runtime.spec.mlPolicy.mpi: is not converted: the "
                                         "launcher, files and variables that mpi programs get by it"));
}

TEST(Convert, KeysOfAnotherUserThanRootCanBeReadByHim) {
  std::string text = text_of(std::filesystem::path(CONVERT_DATA) / "mpi_benchmarks.yaml");
  const auto keys = [&] {
    return job_of(text)["spec"]["workers"]["template"]["spec"]["volumes"][0]["secret"];
  };
  EXPECT_EQ(keys()["defaultMode"], 0600);
  text.replace(text.find("\nspec:\n"), 7, "\nspec:\n  sshAuthMountPath: /home/mpiuser/.ssh\n");
  EXPECT_FALSE(keys().contains("defaultMode"));
}

TEST(Convert, AMastersEndIsTheJobs) {
  EXPECT_EQ(
      job_of(text_of(std::filesystem::path(CONVERT_DATA) / "pytorch_mnist.yaml"))["spec"]["successPolicy"],
      "Rank0");
  EXPECT_FALSE(job_of(kJob)["spec"].contains("successPolicy"));
}

TEST(Convert, SaysWhatIsMissingWithoutTheRuntime) {
  const auto result =
      convert_manifests(text_of(std::filesystem::path(CONVERT_DATA) / "trainjob.yaml"), "t.yaml");
  ASSERT_TRUE(result);
  EXPECT_THAT(result->missing,
              ::testing::ElementsAre("TrainJob/llm: the image is that of ClusterTrainingRuntime "
                                     "torch-distributed: put it in place of "
                                     "image-of-torch-distributed, or put the runtime into the same "
                                     "input"));
}

TEST(Convert, LetsWorkerZeroBeTheLauncher) {
  const Json job = job_of(text_of(std::filesystem::path(CONVERT_DATA) / "mpi_benchmarks.yaml"));
  EXPECT_EQ(job["spec"]["successPolicy"], "Rank0");
  const Json& container = job["spec"]["workers"]["template"]["spec"]["containers"][0];
  EXPECT_EQ(container["args"][0], "mpirun");
  EXPECT_THAT(container["command"][2].get<std::string>(),
              HasSubstr("exec /usr/sbin/sshd -De -f '/home/user name/sshd_config'; fi"));
  EXPECT_EQ(job["spec"]["workers"]["template"]["spec"]["volumes"][0]["secret"]["secretName"],
            "benchmarks-ssh");
}

TEST(Convert, KeepsCommentsOnTheirLines) {
  std::string text = kJob;
  text.replace(text.find("name: p}"), 8,
               "name: p, labels: {a: \"x\"}, finalizers: [\"a\\nb: c\\u2028d: e\"]}");
  const std::vector<Json> documents = documents_of(converted(text));
  ASSERT_EQ(documents.size(), 1U);
  EXPECT_FALSE(documents[0].contains("b")) << "a line break in a value ended the comment";
  EXPECT_THAT(converted(text), Not(HasSubstr("\u2028")));
}

TEST(Convert, TakesWhatItHasMadeUnchanged) {
  const std::string once = converted(kJob);
  EXPECT_EQ(documents_of(converted(once)), documents_of(once));
}

TEST(Convert, GivesNamesThatAServerTakes) {
  const char* given =
      "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: BERT_Large.v2}\nspec:\n"
      "  pytorchReplicaSpecs:\n    Worker:\n      template:\n        spec:\n          containers:\n"
      "          - {name: PyTorch_Main, image: b}\n          - {name: _, image: c}\n";
  const Json job = job_of(given);
  EXPECT_EQ(job["metadata"]["name"], "bert-large-v2");
  const Json& containers = job["spec"]["workers"]["template"]["spec"]["containers"];
  EXPECT_EQ(containers[0]["name"], "pytorch-main");
  EXPECT_EQ(containers[1]["name"], "container-1");
  EXPECT_THAT(converted(given), AllOf(HasSubstr("\"BERT_Large.v2\""), HasSubstr("\"PyTorch_Main\""),
                                      HasSubstr("Renamed: a container's name has")));
}

TEST(Convert, GivesNamesThatNoOtherContainerHasAndReferencesFollow) {
  const char* given =
      "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: bert}\nspec:\n"
      "  pytorchReplicaSpecs:\n    Worker:\n      template:\n        spec:\n          initContainers:\n"
      "          - {name: Side, image: a}\n          containers:\n"
      "          - {name: PyTorch, image: b, env: [{name: M, valueFrom: {resourceFieldRef: {containerName: "
      "Side_, resource: limits.memory}}}]}\n"
      "          - {name: side, image: c}\n          - {name: Side_, image: d}\n          volumes:\n"
      "          - name: v\n            downwardAPI: {items: [{path: p, resourceFieldRef: {containerName: "
      "PyTorch, resource: limits.cpu}}]}\n";
  const Json spec = job_of(given)["spec"]["workers"]["template"]["spec"];
  EXPECT_EQ(spec["initContainers"][0]["name"], "side-2");
  const Json& containers = spec["containers"];
  EXPECT_EQ(containers[0]["name"], "pytorch");
  EXPECT_EQ(containers[1]["name"], "side");
  EXPECT_EQ(containers[2]["name"], "side-3");
  EXPECT_EQ(containers[0]["env"][0]["valueFrom"]["resourceFieldRef"]["containerName"], "side-3");
  EXPECT_EQ(spec["volumes"][0]["downwardAPI"]["items"][0]["resourceFieldRef"]["containerName"], "pytorch");
}

struct Refused {
  const char* text;
  const char* message;
};
class ConvertRefuses : public ::testing::TestWithParam<Refused> {};

TEST_P(ConvertRefuses, WithTheExactPlace) {
  EXPECT_THAT(converted(GetParam().text), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ConvertRefuses,
    ::testing::Values(
        Refused{"a: [", "error: job.yaml:1:1: not YAML: end of sequence flow not found"},
        Refused{"", "job.yaml: nothing to convert: it holds no object"},
        Refused{"- 1\n",
                "job.yaml:1: a manifest must be a map with apiVersion, kind and metadata, this is a array"},
        Refused{"apiVersion: v1\nkind: List\nitems: [7]\n", "job.yaml:3: a manifest must be a map"},
        Refused{"spec: {}\n",
                "job.yaml:1: the object has no apiVersion; converted are PyTorchJob (kubeflow.org/v1)"},
        Refused{"apiVersion: kubeflow.org/v1\nmetadata: {name: x}\n", "job.yaml:1: the object has no kind"},
        Refused{"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n",
                "job.yaml: nothing to convert: none of its objects is a job"},
        Refused{"apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {name: x}\n",
                "job.yaml:1: TFJob of kubeflow.org/v1 is not converted"},
        Refused{"apiVersion: kubeflow.org/v1alpha2\nkind: MPIJob\nmetadata: {name: x}\n",
                "MPIJob of kubeflow.org/v1alpha2 is not converted"},
        Refused{
            "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {}\nspec:\n  pytorchReplicaSpecs: {}\n",
            "job.yaml:3: metadata.name: is missing"},
        Refused{"apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec:\n  "
                "pytorchReplicaSpecs: {}\n",
                "job.yaml:5: spec.pytorchReplicaSpecs: has neither Master nor Worker"},
        Refused{"apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec: 3\n",
                "job.yaml:4: spec: must be a map, is a number"},
        Refused{
            "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec:\n  "
            "pytorchReplicaSpecs:\n"
            "    Worker:\n      replicas: two\n      template: {spec: {containers: [{name: a, image: b}]}}\n",
            "job.yaml:7: spec.pytorchReplicaSpecs.Worker.replicas: must be an integer, is \"two\""},
        Refused{"apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec:\n  "
                "pytorchReplicaSpecs:\n"
                "    Worker:\n      replicas: 2000\n      template: {spec: {containers: [{name: a, image: "
                "b}]}}\n",
                "spec.pytorchReplicaSpecs: makes 2000 replicas; a DistributedJob has 0 to 1000 workers"},
        Refused{"apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec:\n  "
                "pytorchReplicaSpecs:\n"
                "    Worker:\n      template: {spec: {containers: [{name: a}]}}\n",
                "job.yaml:7: spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].image: is missing"},
        Refused{
            "apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec:\n  "
            "pytorchReplicaSpecs:\n"
            "    Worker:\n      template: {spec: {containers: [{name: a, image: y}]}}\n",
            "job.yaml:7: spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].image: must be text, is "
            "true; quote it"},
        Refused{"apiVersion: kubeflow.org/v1\nkind: PyTorchJob\nmetadata: {name: x}\nspec:\n  "
                "pytorchReplicaSpecs:\n"
                "    Worker:\n      template: {spec: {containers: [{name: 7, image: b}]}}\n",
                "containers[0].name: must be text, is 7; quote it"},
        Refused{
            "apiVersion: kubeflow.org/v2beta1\nkind: MPIJob\nmetadata: {name: x}\nspec:\n  mpiReplicaSpecs:\n"
            "    Worker: {replicas: 1, template: {spec: {containers: [{name: a, image: b}]}}}\n",
            "spec.mpiReplicaSpecs.Launcher: is missing: only a launcher with workers is converted"},
        Refused{
            "apiVersion: kubeflow.org/v2beta1\nkind: MPIJob\nmetadata: {name: x}\nspec:\n  mpiReplicaSpecs:\n"
            "    Launcher: {template: {spec: {containers: [{name: a, image: b}]}}}\n"
            "    Worker: {replicas: 1, template: {spec: {containers: [{name: a, image: b}]}}}\n",
            "spec.mpiReplicaSpecs.Launcher.template.spec.containers[0].command: is missing"}));

TEST(Convert, RefusesAFileThatIsNoManifest) {
  EXPECT_THAT(converted(std::string(kManifestBytesMax + 1, 'a')),
              HasSubstr("bytes are too many for a manifest"));
  EXPECT_THAT(converted("a: &a [1]\nb: *c\n"), HasSubstr("error: job.yaml:"));
}

// Each value in turn becomes one of another type: an error or an output, never an exception.
TEST(Convert, OutlivesValuesOfEveryType) {
  const std::vector<Json> others{Json(7), Json("zq"), Json{{"0", "x"}}, Json::array({1, Json::object()}),
                                 Json(nullptr)};
  std::size_t next = 0;
  for (const auto& file : inputs()) {
    const std::vector<Json> documents = documents_of(text_of(file));
    for (std::size_t d = 0; d < documents.size(); ++d)
      each_value(documents[d], "", [&](const std::string& at, const Json&) {
        for (int each = 0; each < 2; ++each) {
          std::vector<Json> changed = documents;
          changed[d][Json::json_pointer(at)] = others[next++ % others.size()];
          const auto result = convert_manifests(joined(changed), "job.yaml");
          if (result) {
            (void)documents_of(result->yaml);
          } else {
            EXPECT_THAT(result.error().message, HasSubstr("job.yaml"));
          }
        }
      });
  }
}

}  // namespace
}  // namespace muster::cli
