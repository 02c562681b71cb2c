// common/spec/personalization.cc: personalization and streams from and to JSON
#include "common/spec/personalization.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/spec/into.h"

namespace muster::spec {
namespace {

constexpr std::size_t kLayersMax = 33;  // as many as a model may have, less one
constexpr std::int64_t kExamplesMax = 1'000'000'000;

Result<FineTune> fine_tune_from_json(const Json& json, const std::string& path) {
  FineTune tune;
  MUSTER_TRY(Fields(json, path)
                 .require("learningRate")
                 .integer("epochs", tune.epochs, {.min = 1, .max = 1000})
                 .number("learningRate", tune.learning_rate, {.min = 1e-12, .max = 1e6})
                 .finish());
  return tune;
}

Result<LabelShift> label_shift_from_json(const Json& json, const std::string& path) {
  LabelShift shift;
  MUSTER_TRY(Fields(json, path)
                 .require("round")
                 .integer("round", shift.round, {.min = 1, .max = 1'000'000})
                 .integer("by", shift.by, {.min = 1, .max = 1'000'000})
                 .finish());
  return shift;
}

}  // namespace

Result<Personalization> personalization_from_json(const Json& json, const std::string& path) {
  Personalization personalization;
  Fields fields(json, path);
  fields.each("personalLayers", [&](const Json& value, const std::string& at) -> Status {
    if (!value.is_string())
      return invalid_argument(fmt::format("{}: must be the name of a layer, such as dense2", at));
    auto name = value.get<std::string>();
    auto& layers = personalization.personal_layers;
    if (std::ranges::find(layers, name) != layers.end())
      return invalid_argument(fmt::format("{}: \"{}\" is there twice; remove it once", at, name));
    if (layers.size() == kLayersMax)
      return invalid_argument(fmt::format("{}: more than {} layers; remove some", path, kLayersMax));
    layers.push_back(std::move(name));
    return {};
  });
  fields.object("fineTune", [&](const Json& value, const std::string& at) -> Status {
    MUSTER_ASSIGN(personalization.fine_tune, fine_tune_from_json(value, at));
    return {};
  });
  MUSTER_TRY(fields.finish());
  return personalization;
}

Json to_json(const Personalization& personalization) {
  Json json = Json::object();
  if (!personalization.personal_layers.empty()) json["personalLayers"] = personalization.personal_layers;
  if (const auto& tune = personalization.fine_tune)
    json["fineTune"] = {{"epochs", tune->epochs}, {"learningRate", tune->learning_rate}};
  return json;
}

Result<Stream> stream_from_json(const Json& json, const std::string& path) {
  Stream stream;
  Fields fields(json, path);
  fields.require("initialExamples")
      .require("examplesPerRound")
      .integer("initialExamples", stream.initial_examples, {.min = 1, .max = kExamplesMax})
      .integer("examplesPerRound", stream.examples_per_round, {.min = 0, .max = kExamplesMax})
      .integer("expireAfterRounds", stream.expire_after_rounds, {.min = 0, .max = 1'000'000})
      .object("labelShift", [&](const Json& value, const std::string& at) -> Status {
        MUSTER_ASSIGN(stream.label_shift, label_shift_from_json(value, at));
        return {};
      });
  MUSTER_TRY(fields.finish());
  if (stream.expire_after_rounds > 0 && stream.examples_per_round == 0)
    return invalid_argument(
        fmt::format("{0}.expireAfterRounds: what clients begin with is gone after so many rounds, and "
                    "nothing comes; raise "
                    "{0}.examplesPerRound, or remove the field",
                    path));
  return stream;
}

Json to_json(const Stream& stream) {
  Json json{{"initialExamples", stream.initial_examples},
            {"examplesPerRound", stream.examples_per_round},
            {"expireAfterRounds", stream.expire_after_rounds}};
  if (const auto& shift = stream.label_shift)
    json["labelShift"] = {{"round", shift->round}, {"by", shift->by}};
  return json;
}

}  // namespace muster::spec
