// cli/convert/convert.cc: manifests of Kubeflow's training operators into DistributedJobs
#include "cli/convert/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/convert/conversion.h"
#include "cli/convert/kinds.h"
#include "cli/manifest.h"
#include "common/json/access.h"
#include "common/yaml/yaml.h"

namespace muster::cli {
namespace {

constexpr const char* kOurs = "muster.dev/v1alpha1";
constexpr std::string_view kKubeflow = "kubeflow.org/";
constexpr std::string_view kTrainer = "trainer.kubeflow.org/";
constexpr const char* kConvertible =
    "PyTorchJob (kubeflow.org/v1), TrainJob (trainer.kubeflow.org/v1alpha1) and MPIJob "
    "(kubeflow.org/v2beta1)";

struct Source {
  std::string_view api_version, kind;
  std::string (*convert)(Conversion&);
};
constexpr std::array<Source, 3> kSources{{
    {"kubeflow.org/v1", "PyTorchJob",
     [](Conversion& conversion) {
       convert_pytorch_job(conversion);
       return std::string();
     }},
    {"trainer.kubeflow.org/v1alpha1", "TrainJob", convert_train_job},
    {"kubeflow.org/v2beta1", "MPIJob", convert_mpi_job},
}};

const Source* source_of(const Json& object) {
  for (const Source& source : kSources)
    if (text_at(object, "apiVersion") == source.api_version && text_at(object, "kind") == source.kind)
      return &source;
  return nullptr;
}

bool is_runtime(const Json& object) {
  const std::string kind = text_at(object, "kind");
  return text_at(object, "apiVersion").starts_with(kTrainer) &&
         (kind == "TrainingRuntime" || kind == "ClusterTrainingRuntime");
}

bool of_kubeflow_training(const Json& object) {
  const std::string version = text_at(object, "apiVersion");
  return version.starts_with(kTrainer) ||
         (version.starts_with(kKubeflow) && text_at(object, "kind").ends_with("Job"));
}

Status check_header(const YamlDocument& document, const std::string& file) {
  const Json& object = document.value;
  if (!object.is_object())
    return invalid_argument(
        fmt::format("{}:{}: a manifest must be a map with apiVersion, kind and metadata, this is a {}", file,
                    document.line, object.type_name()));
  for (const char* field : {"apiVersion", "kind"})
    if (text_at(object, field).empty())
      return invalid_argument(fmt::format("{}:{}: the object has no {}; converted are {}", file,
                                          document.line, field, kConvertible));
  if (source_of(object) != nullptr || is_runtime(object) || !of_kubeflow_training(object)) return {};
  return invalid_argument(fmt::format("{}:{}: {} of {} is not converted; converted are {}", file,
                                      document.line, text_at(object, "kind"), text_at(object, "apiVersion"),
                                      kConvertible));
}

const Json* find_runtime(const std::vector<YamlDocument>& documents, const Json& job) {
  const Json& reference = member(job, "spec", "runtimeRef");
  if (text_at(job, "kind") != "TrainJob" || !reference.is_object()) return nullptr;
  const std::string kind = text(member(reference, "kind"), "ClusterTrainingRuntime");
  const auto found = std::find_if(documents.begin(), documents.end(), [&](const YamlDocument& document) {
    const Json& runtime = document.value;
    const bool here =
        kind == "ClusterTrainingRuntime" || meta_text(runtime, "namespace") == meta_text(job, "namespace");
    return is_runtime(runtime) && here && text_at(runtime, "kind") == kind &&
           meta_text(runtime, "name") == text_at(reference, "name");
  });
  return found == documents.end() ? nullptr : &found->value;
}

struct One {
  std::string yaml, missing;
};

Result<One> convert_one(const YamlDocument& document, const Json* runtime, const std::string& file) {
  const Source& source = *source_of(document.value);
  Json whole = document.value;
  if (runtime != nullptr) whole["runtime"] = *runtime;
  Conversion conversion(std::move(whole));
  std::string missing;
  Status done;
  try {
    for (const char* header : {"/apiVersion", "/kind"}) (void)conversion.take(header);
    conversion.out("/apiVersion") = kOurs;
    conversion.out("/kind") = "DistributedJob";
    conversion.must_be_object("/spec");
    conversion.say("", fmt::format("Was {} {}.", source.kind, source.api_version));
    missing = source.convert(conversion);
    done = conversion.finish();
  } catch (const Json::exception& wrong) {  // a place for something that is taken by a value of another type
    done = conversion.finish();
    if (done)
      done = invalid_argument(fmt::format("spec: a field has a value of a wrong type ({})", wrong.what()));
  }
  if (!done) {
    const ManifestObject place{
        .value = {}, .name = {}, .name_space = {}, .file = file, .lines = document.lines};
    const std::string message = done.error().message;
    return invalid_argument(
        fmt::format("{}: {}", place.where(message.substr(0, message.find(": "))), message));
  }
  if (!missing.empty())
    missing = fmt::format("{}/{}: {}", source.kind, meta_text(document.value, "name"), missing);
  std::string yaml;
  for (const Json& object : conversion.others()) yaml += to_yaml(object) + "---\n";
  return One{yaml + commented_yaml(conversion.output(), conversion.comments()), std::move(missing)};
}

}  // namespace

Result<Converted> convert_manifests(std::string_view text, const std::string& file) {
  MUSTER_TRY(check_manifest_size(text, file));
  MUSTER_ASSIGN(std::vector<YamlDocument> read, parse_yaml(text, file));
  const std::vector<YamlDocument> documents = flatten_lists(std::move(read));
  Converted converted;
  bool any = false;
  for (const YamlDocument& document : documents) {
    MUSTER_TRY(check_header(document, file));
    if (is_runtime(document.value)) continue;
    One one;
    if (source_of(document.value) != nullptr) {
      MUSTER_ASSIGN(one, convert_one(document, find_runtime(documents, document.value), file));
    } else {
      one.yaml = to_yaml(document.value);
    }
    any = any || source_of(document.value) != nullptr || text_at(document.value, "apiVersion") == kOurs;
    if (!one.missing.empty()) converted.missing.push_back(std::move(one.missing));
    if (!converted.yaml.empty()) converted.yaml += "---\n";
    converted.yaml += one.yaml;
  }
  if (!any)
    return invalid_argument(
        fmt::format("{}: nothing to convert: {}; converted are {}", file,
                    documents.empty() ? "it holds no object" : "none of its objects is a job", kConvertible));
  return converted;
}

}  // namespace muster::cli
