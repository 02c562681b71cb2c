// common/spec/training.cc: spec.training, compression and security from and to JSON
#include "common/spec/training.h"

#include <fmt/format.h>

#include <utility>

#include "common/json/whole_number.h"
#include "common/spec/common_training.h"
#include "common/spec/into.h"

namespace muster::spec {

Result<Model> model_from_json(const Json& json, const std::string& path) {
  Model model;
  Fields fields(json, path);
  std::vector<std::int64_t> hidden;
  fields.require("name").one_of("name", model.name, {"softmax", "mlp", "cnn"});
  fields.each("hidden", [&](const Json& element, const std::string& at) -> Status {
    const auto width = whole_number(element);
    if (!width || *width < 1 || *width > 65536)
      return invalid_argument(at + ": must be a width from 1 to 65536, is " + element.dump());
    hidden.push_back(*width);
    return {};
  });
  MUSTER_TRY(fields.finish());
  if (!hidden.empty()) {
    if (model.name != "mlp")
      return invalid_argument(path + ".hidden: only model mlp has hidden layers; remove the field");
    model.hidden = std::move(hidden);
  }
  return model;
}

Result<Dataset> dataset_from_json(const Json& json, const std::string& path) {
  Dataset dataset;
  Fields fields(json, path);
  fields.require("name").one_of("name", dataset.name, {"fashion-mnist", "idx", "csv", "synthetic"});
  fields.string("path", dataset.path);
  fields.object("csv", [&](const Json& csv, const std::string& at) {
    return Fields(csv, at)
        .string("labelColumn", dataset.csv.label_column)
        .number("testFraction", dataset.csv.test_fraction, {.min = 0.01, .max = 0.9})
        .finish();
  });
  fields.object("synthetic", [&](const Json& synthetic, const std::string& at) {
    return Fields(synthetic, at)
        .number("alpha", dataset.synthetic.alpha, {.min = 0})
        .number("beta", dataset.synthetic.beta, {.min = 0})
        .boolean("iid", dataset.synthetic.iid)
        .integer("devices", dataset.synthetic.devices, {.min = 1, .max = 100'000})
        .number("sigma", dataset.synthetic.sigma, {.min = 0, .max = 4})
        .finish();
  });
  MUSTER_TRY(fields.finish());
  if (dataset.name != "synthetic" && dataset.path.empty())
    return invalid_argument(
        fmt::format("{}.path: dataset \"{}\" needs the path of its files", path, dataset.name));
  return dataset;
}

Result<Optimizer> optimizer_from_json(const Json& json, const std::string& path) {
  Optimizer optimizer;
  Fields fields(json, path);
  fields.one_of("name", optimizer.name, {"SGD", "Adam", "AdamW"})
      .number("learningRate", optimizer.learning_rate, {.min = 1e-12, .max = 1e6})
      .number("momentum", optimizer.momentum, {.min = 0, .max = 0.999999})
      .number("beta1", optimizer.beta1, {.min = 0, .max = 0.999999})
      .number("beta2", optimizer.beta2, {.min = 0, .max = 0.999999})
      .number("epsilon", optimizer.epsilon, {.min = 1e-12, .max = 1})
      .number("weightDecay", optimizer.weight_decay, {.min = 0, .max = 1e6});
  MUSTER_TRY(fields.finish());
  return optimizer;
}

void read_common(Fields& fields, CommonTraining out) {
  fields.object("model", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(out.model, model_from_json(value, at));
    return {};
  });
  fields.object("dataset", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(out.dataset, dataset_from_json(value, at));
    return {};
  });
  fields.one_of("objective", out.objective, {"CrossEntropy"});
  fields.object("optimizer", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(out.optimizer, optimizer_from_json(value, at));
    return {};
  });
  fields.integer("seed", out.seed, {.min = 0});
}

namespace {

// As a container has them; the quantities are the operator's to judge, who alone reads them.
Status check_resources(const Json& resources, const std::string& path) {
  if (resources.is_null()) return {};
  Json limits;
  Json requests;
  MUSTER_TRY(Fields(resources, path).raw("limits", limits).raw("requests", requests).finish());
  for (const auto& [name, list] : {std::pair("limits", &limits), std::pair("requests", &requests)})
    if (!list->is_null() && !list->is_object())
      return invalid_argument(
          fmt::format("{}.{}: must be an object, such as {{cpu: 500m, memory: 1Gi}}, is {}", path, name,
                      list->type_name()));
  return {};
}

}  // namespace

Status read_program(const Json& json, const std::string& path, std::optional<Program>& program) {
  if (!json.is_object() || !json.contains("program") || json["program"].is_null()) return {};
  Program read;
  MUSTER_TRY(Fields(json["program"], path + ".program").raw("resources", read.resources).finish());
  MUSTER_TRY(check_resources(read.resources, path + ".program.resources"));
  for (const char* name : {"model", "dataset"})
    if (json.contains(name) && !json[name].is_null())
      return invalid_argument(
          fmt::format("{}.{}: the program has its own; remove it, or {}.program", path, name, path));
  program = std::move(read);
  return {};
}

Result<Training> training_from_json(const Json& json, const std::string& path) {
  Training training;
  MUSTER_TRY(read_program(json, path, training.program));
  Fields fields(json, path);
  fields.ignore("program");
  if (!training.program) fields.require("model").require("dataset");
  read_common(fields, {.model = training.model,
                       .dataset = training.dataset,
                       .objective = training.objective,
                       .optimizer = training.optimizer,
                       .seed = training.seed});
  fields.integer("batchSize", training.batch_size, {.min = 1, .max = 1'000'000})
      .integer("epochs", training.epochs, {.min = 1, .max = 1'000'000});
  fields.object("checkpoint", [&](const Json& value, const std::string& at) -> Status {
    Checkpoint checkpoint;
    MUSTER_TRY(Fields(value, at)
                   .require("path")
                   .string("path", checkpoint.path)
                   .integer("everySteps", checkpoint.every_steps, {.min = 1})
                   .integer("keep", checkpoint.keep, {.min = 1, .max = 1000})
                   .finish());
    training.checkpoint = std::move(checkpoint);
    return {};
  });
  MUSTER_TRY(fields.finish());
  return training;
}

Result<Compression> compression_from_json(const Json& json, const std::string& path) {
  Compression read;
  MUSTER_TRY(Fields(json, path)
                 .integer("quantizationBits", read.quantization_bits, {.min = 1, .max = 32})
                 .string("format", read.format)
                 .number("topKFraction", read.top_k_fraction, {.min = 1e-6, .max = 1})
                 .number("pruneBelow", read.prune_below, {.min = 0, .max = 1e18})
                 .integer("lowRank", read.low_rank, {.min = 0, .max = 1024})
                 .boolean("errorFeedback", read.error_feedback)
                 .finish());
  const auto wrong = [&](std::string_view what) {
    return invalid_argument(fmt::format("{}.{}", path, what));
  };
  const auto bits = read.quantization_bits;
  if (bits != 32 && bits != 16 && bits != 8 && bits != 4 && bits != 2 && bits != 1)
    return wrong("quantizationBits: use one of: 32, 16, 8, 4, 2, 1");
  const bool of_16 = read.format == "Float16" || read.format == "BFloat16";
  if (!read.format.empty() && !of_16 && read.format != "Integer" && read.format != "E3M0")
    return wrong(fmt::format("format: \"{}\" is not supported, use one of: Float16, BFloat16, Integer, E3M0",
                             read.format));
  if (!read.format.empty() && (of_16 ? bits != 16 : bits != 4))
    return wrong("format: quantizationBits must be 16 for Float16 and BFloat16, and 4 for Integer and E3M0");
  if (read.top_k_fraction < 1 && read.prune_below > 0)
    return wrong("pruneBelow: topKFraction says already what is sent; choose one of the two");
  if (read.low_rank > 0 && read.by_codec())
    return wrong("lowRank: remove it, or quantizationBits, topKFraction and pruneBelow: it is sent as it is");
  if (read.low_rank > 0 && !read.error_feedback)
    return wrong(
        "errorFeedback: lowRank keeps what it leaves out, or it would never learn it; remove the field");
  if (bits == 1 && !read.error_feedback)
    return wrong("errorFeedback: signs alone are biased; remove the field, or use more quantizationBits");
  return read;
}

Result<Security> security_from_json(const Json& json, const std::string& path) {
  Security security;
  MUSTER_TRY(Fields(json, path).boolean("encryptTraffic", security.encrypt_traffic).finish());
  return security;
}

Json to_json(const Model& model) {
  Json json{{"name", model.name}};
  if (model.name == "mlp") json["hidden"] = model.hidden;
  return json;
}

Json to_json(const Dataset& dataset) {
  Json json{{"name", dataset.name}};
  if (!dataset.path.empty()) json["path"] = dataset.path;
  if (dataset.name == "csv")
    json["csv"] = {{"labelColumn", dataset.csv.label_column}, {"testFraction", dataset.csv.test_fraction}};
  if (dataset.name == "synthetic") {
    const Synthetic& synthetic = dataset.synthetic;
    json["synthetic"] = {{"alpha", synthetic.alpha},
                         {"beta", synthetic.beta},
                         {"iid", synthetic.iid},
                         {"devices", synthetic.devices},
                         {"sigma", synthetic.sigma}};
  }
  return json;
}

Json to_json(const Optimizer& optimizer) {
  Json json{{"name", optimizer.name},
            {"learningRate", optimizer.learning_rate},
            {"weightDecay", optimizer.weight_decay}};
  if (optimizer.name == "SGD") json["momentum"] = optimizer.momentum;
  if (optimizer.name != "SGD")
    json.update({{"beta1", optimizer.beta1}, {"beta2", optimizer.beta2}, {"epsilon", optimizer.epsilon}});
  return json;
}

Json to_json(const Program& program) {
  Json json = Json::object();
  if (!program.resources.is_null()) json["resources"] = program.resources;
  return json;
}

Json to_json(const Training& training) {
  Json json{{"optimizer", to_json(training.optimizer)},
            {"batchSize", training.batch_size},
            {"epochs", training.epochs},
            {"seed", training.seed}};
  if (training.program) {
    json["program"] = to_json(*training.program);
  } else {
    json.update({{"model", to_json(training.model)},
                 {"dataset", to_json(training.dataset)},
                 {"objective", training.objective}});
  }
  if (training.checkpoint) {
    json["checkpoint"] = {{"path", training.checkpoint->path},
                          {"everySteps", training.checkpoint->every_steps},
                          {"keep", training.checkpoint->keep}};
  }
  return json;
}

Json what_is_learnt(Json training) {
  for (const char* name : {"checkpoint", "epochs"}) training.erase(name);
  for (const auto& [part, name] : {std::pair("dataset", "path"), std::pair("program", "resources")})
    if (const auto found = training.find(part); found != training.end()) found->erase(name);
  return training;
}

Json optional_fields(Json training) {
  Model mlp;
  mlp.name = "mlp";
  training["model"].update(to_json(mlp));
  Dataset csv, synthetic;
  csv.name = "csv";
  synthetic.name = "synthetic";
  Json& dataset = training["dataset"];
  dataset.update(to_json(csv));
  dataset.update(to_json(synthetic));
  Optimizer adam;
  adam.name = "Adam";
  Json& optimizer = training["optimizer"];
  const Json usual_name = optimizer["name"];
  optimizer.update(to_json(adam));
  optimizer["name"] = usual_name;
  for (const char* required : {"/model/name", "/dataset/name", "/checkpoint/path"}) {
    const Json::json_pointer at(required);
    if (training.contains(at)) training[at.parent_pointer()].erase(at.back());
  }
  return training;
}

Json to_json(const Compression& compression) {
  Json json{{"quantizationBits", compression.quantization_bits},
            {"topKFraction", compression.top_k_fraction},
            {"pruneBelow", compression.prune_below},
            {"lowRank", compression.low_rank},
            {"errorFeedback", compression.error_feedback}};
  if (!compression.format.empty()) json["format"] = compression.format;
  return json;
}

Json to_json(const Security& security) { return {{"encryptTraffic", security.encrypt_traffic}}; }

}  // namespace muster::spec
