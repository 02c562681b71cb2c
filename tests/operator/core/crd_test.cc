// tests/operator/core/crd_test.cc: the CRDs say what the C++ parsers do: a drift between them fails here
#include <gmock/gmock.h>

#include <cmath>
#include <regex>
#include <set>

#include "cluster_model.h"
#include "common/spec/pod_templates.h"
#include "operator/api/distributed_job.h"
#include "operator/api/federated_round.h"
#include "yaml_json.h"

namespace muster::op::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One kind: its schema, a spec in which every optional object is present, and the parser of specs.
struct Kind {
  const char* name;
  const char* crd;
  const char* base;
  // Googletest gives it its name.
  friend void PrintTo(const Kind& kind, std::ostream* out) {  // NOLINT(readability-identifier-naming)
    *out << kind.name;
  }
};

constexpr Kind kKinds[] = {
    {"DistributedJob", "muster.dev_distributedjobs.yaml",
     R"({"workers": {"template": {"spec": {"containers": [
             {"name": "worker", "volumeMounts": [{"name": "v", "mountPath": "/c"}]}]}}},
         "synchronization": {"timeoutSeconds": 3600, "topology": "ParameterServer", "updates": "Asynchronous",
                             "parameterServers": {}}, "compression": {}, "security": {}, "scheduling": {},
         "runPolicy": {"failurePolicy": {"rules": [{"action": "Ignore", "onReasons": ["Evicted"]}]}},
         "training": {"model": {"name": "cnn"}, "optimizer": {}, "checkpoint": {"path": "/c"},
                      "dataset": {"name": "synthetic", "path": "/d", "csv": {}, "synthetic": {}}}})"},
    {"FederatedRound", "muster.dev_federatedrounds.yaml",
     R"({"rounds": 1, "personalization": {"fineTune": {"learningRate": 0.1}}, "target": {"value": 0.5}, "strategy": {"name": "SCAFFOLD"}, "cohort": {"size": 1}, "stragglers": {},
         "runPolicy": {"failurePolicy": {"rules": [{"action": "Ignore", "onReasons": ["Evicted"]}]}},
         "aggregator": {"storage": {"path": "/m"}, "template": {"spec": {"containers": [
             {"name": "aggregator", "volumeMounts": [{"name": "v", "mountPath": "/m"}]}]}}},
         "clients": {"count": 100000, "perPod": 10000, "partition": {}, "storage": {"path": "/k"},
                     "stream": {"initialExamples": 5, "examplesPerRound": 1, "labelShift": {"round": 2}},
                     "template": {"spec": {"containers": [
             {"name": "client", "volumeMounts": [{"name": "k", "mountPath": "/k"}]}]}}},
         "training": {"model": {"name": "cnn"}, "optimizer": {},
                      "dataset": {"name": "synthetic", "path": "/d", "csv": {}, "synthetic": {"devices": 100000}}}})"}};

class Crd : public ::testing::TestWithParam<Kind> {
 protected:
  [[nodiscard]] Json schema() const { return load_schema(GetParam().crd)["properties"]["spec"]; }
  [[nodiscard]] Json base() const { return Json::parse(GetParam().base); }
  // The error of parsing `spec`, or "".
  [[nodiscard]] std::string error_of(const Json& spec) const {
    if (GetParam().name == std::string("DistributedJob")) {
      const auto read = api::distributed_job_spec_from_json(spec);
      return read ? "" : read.error().message;
    }
    const auto read = api::federated_round_spec_from_json(spec);
    return read ? "" : read.error().message;
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, Crd, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return kind.param.name; });

struct Leaf {
  std::string path;  // "spec.training.epochs"
  Json::json_pointer at;
  Json schema;
};

void walk(const Json& schema, const std::string& path, const Json::json_pointer& at, std::vector<Leaf>& out) {
  out.push_back({path, at, schema});
  if (!schema.contains("properties")) return;
  for (const auto& property : schema["properties"].items())
    walk(property.value(), path + "." + property.key(), at / property.key(), out);
}

std::vector<Leaf> leaves(const Json& schema) {
  std::vector<Leaf> out;
  walk(schema, "spec", Json::json_pointer(), out);
  return out;
}

std::set<std::string> words(const std::string& message, const std::string& after) {
  std::set<std::string> found;
  const auto at = message.find(after);
  if (at == std::string::npos) return found;
  const std::string list = message.substr(at + after.size());
  static const std::regex kWord("[^, ]+");
  for (std::sregex_iterator word(list.begin(), list.end(), kWord), end; word != end; ++word)
    found.insert(word->str());
  return found;
}

TEST_P(Crd, ItsBaseSpecIsAcceptedByParserAndSchema) {
  EXPECT_EQ(error_of(base()), "");
  EXPECT_THAT(violations(schema(), base(), "spec"), IsEmpty());
}

// Each is looked at by `muster run` before anything runs.
TEST_P(Crd, EveryPodTemplateIsKnownByItsPlace) {
  std::set<std::string> in_schema, known;
  for (const Leaf& leaf : leaves(schema()))
    if (leaf.path.ends_with("emplate")) in_schema.insert(leaf.path);
  for (const spec::PodTemplatePlace& place : spec::kPodTemplates)
    if (place.kind == std::string(GetParam().name)) known.insert(place.path);
  EXPECT_EQ(known, in_schema);
  const Json object{{"spec", {{"synchronization", {{"parameterServers", {{"template", 7}}}}}}}};
  EXPECT_EQ(spec::template_at(object, spec::kServerTemplate), 7);
  EXPECT_TRUE(spec::template_at(object, spec::kClientTemplate).is_null());
}

// A real API server compares whole numbers with a bound as an int64, and would refuse each of them, and with
// a whole default the kind itself.
TEST_P(Crd, EveryBoundFitsAnInt64) {
  for (const Leaf& leaf : leaves(schema())) {
    for (const char* bound : {"minimum", "maximum"}) {
      if (!leaf.schema.contains(bound)) continue;
      EXPECT_LT(std::abs(leaf.schema[bound].get<double>()), 9.2e18) << leaf.path << ": " << bound;
    }
  }
}

TEST_P(Crd, EveryEnumIsWhatTheParserAccepts) {
  int enums = 0;
  for (const Leaf& leaf : leaves(schema())) {
    if (!leaf.schema.contains("enum")) continue;
    ++enums;
    Json spec = base();
    spec[leaf.at] = "Nope";
    const std::string message = error_of(spec);
    EXPECT_THAT(message, HasSubstr(leaf.path + ": \"Nope\" is not supported")) << leaf.path;
    EXPECT_EQ(words(message, "use one of: "), leaf.schema["enum"].get<std::set<std::string>>()) << leaf.path;
  }
  EXPECT_GE(enums, 6);
}

TEST_P(Crd, EveryObjectHasTheFieldsThatTheParserKnows) {
  int objects = 0;
  for (const Leaf& leaf : leaves(schema())) {
    if (!leaf.schema.contains("properties")) continue;
    ++objects;
    Json spec = base();
    spec[leaf.at]["zzz"] = 1;  // where the base has none: it is read before the rules are asked
    std::set<std::string> properties;
    for (const auto& property : leaf.schema["properties"].items()) properties.insert(property.key());
    const std::string message = error_of(spec);
    EXPECT_THAT(message, HasSubstr(leaf.path + ".zzz: unknown field"));
    EXPECT_EQ(words(message, "known here: "), properties) << leaf.path;
  }
  EXPECT_GE(objects, 9);
}

TEST_P(Crd, EveryBoundIsTheParsers) {
  int bounds = 0;
  for (const Leaf& leaf : leaves(schema())) {
    for (const bool low : {true, false}) {
      const char* keyword = low ? "minimum" : "maximum";
      if (!leaf.schema.contains(keyword)) continue;
      ++bounds;
      const Json bound = leaf.schema[keyword];
      Json spec = base();
      spec[leaf.at] = bound;
      const std::string refusal = leaf.path + ": must be at " + (low ? "least" : "most");
      EXPECT_THAT(error_of(spec), ::testing::Not(HasSubstr(refusal))) << "at the bound";
      if (leaf.schema["type"] == "integer") {
        spec[leaf.at] = bound.get<std::int64_t>() + (low ? -1 : 1);
      } else {
        const double value = bound.get<double>();
        spec[leaf.at] = low ? value - (value > 0 ? value / 2 : 1e-9) : value * 1.5;
      }
      EXPECT_THAT(error_of(spec), HasSubstr(refusal)) << "past the bound";
    }
  }
  EXPECT_GE(bounds, 20);
}

TEST_P(Crd, EveryRequiredFieldIsRequiredByTheParser) {
  for (const Leaf& leaf : leaves(schema())) {
    for (const Json& name : leaf.schema.value("required", Json::array())) {
      Json spec = base();
      spec[leaf.at].erase(name.get<std::string>());
      EXPECT_THAT(error_of(spec),
                  HasSubstr(leaf.path + "." + name.get<std::string>() + ": required field is missing"));
    }
  }
}

TEST_P(Crd, EveryDefaultIsTheParsers) {
  Json filled = base();
  fill_defaults(schema(), filled);
  EXPECT_NE(filled, base());
  EXPECT_THAT(violations(schema(), filled, "spec"), IsEmpty()) << "a default breaks its own schema";
  if (GetParam().name == std::string("DistributedJob")) {
    const auto bare = api::distributed_job_spec_from_json(base());
    const auto full = api::distributed_job_spec_from_json(filled);
    ASSERT_TRUE(bare && full);
    EXPECT_EQ(bare->training, full->training);
    EXPECT_EQ(bare->synchronization, full->synchronization);
    EXPECT_EQ(bare->security, full->security);
    EXPECT_EQ(bare->run_policy, full->run_policy);
    EXPECT_EQ(bare->workers.replicas, full->workers.replicas);
    EXPECT_EQ(bare->suspend, full->suspend);
  } else {
    const auto bare = api::federated_round_spec_from_json(base());
    const auto full = api::federated_round_spec_from_json(filled);
    ASSERT_TRUE(bare && full);
    EXPECT_EQ(bare->federation, full->federation);
    EXPECT_EQ(bare->run_policy, full->run_policy);
    EXPECT_EQ(bare->suspend, full->suspend);
  }
}

TEST_P(Crd, EveryFieldWithADefaultInTheParserHasOneInTheSchema) {
  Json filled = base();
  filled["training"]["dataset"]["name"] = "synthetic";
  fill_defaults(schema(), filled);
  const Json typed = GetParam().name == std::string("DistributedJob")
                         ? spec::to_json(*api::distributed_job_spec_from_json(base())->training)
                         : spec::to_json(api::federated_round_spec_from_json(base())->federation)["training"];
  const Json fields = typed.flatten();
  for (const auto& field : fields.items())
    EXPECT_TRUE(filled["training"].contains(Json::json_pointer(field.key()))) << field.key();
}

TEST(CrdDefaults, ClientsPerPodIsTheParsers) {
  const Json clients =
      load_schema(kKinds[1].crd)["properties"]["spec"]["properties"]["clients"]["properties"];
  EXPECT_EQ(clients["perPod"]["default"], spec::Federation{}.clients_per_pod);
  EXPECT_EQ(clients["partition"]["properties"]["kind"]["default"], spec::Partition{}.kind);
}

void check_structure(const Json& schema, const std::string& path, bool in_list) {
  ASSERT_TRUE(schema.contains("type")) << path << " has no type";
  const bool told_by_its_list = path.ends_with("[]") && !schema.contains("properties");
  const bool explained = schema.contains("description") || told_by_its_list || path == "(root).metadata";
  EXPECT_TRUE(explained) << path << ": kubectl explain has nothing to say";
  if (schema["type"] == "array") {
    EXPECT_TRUE(schema.contains("maxItems")) << path << " is unbounded: rules over it have no bounded cost";
    EXPECT_TRUE(schema.contains("x-kubernetes-list-type")) << path;
    check_structure(schema["items"], path + "[]", true);
  }
  const bool in_spec = path.starts_with("(root).spec");
  const bool bounded = schema["type"] != "string" || schema.contains("enum") || schema.contains("maxLength");
  EXPECT_TRUE(bounded || !in_spec) << path << " is unbounded";
  for (const Json& rule : schema.value("x-kubernetes-validations", Json::array())) {
    const std::string text = rule["rule"];
    EXPECT_TRUE(rule.contains("message")) << path << ": " << text;
    EXPECT_TRUE(schema.value("type", "") == "number" || !schema.contains("default") ||
                text.find("oldSelf") != std::string::npos)
        << path << ": a default is held against rules as written, without the defaults inside it: " << text;
    EXPECT_FALSE(in_list && text.find("oldSelf") != std::string::npos)
        << path << ": no transition rules in atomic lists";
    static const std::regex kCall(R"(([A-Za-z]+)\()");
    for (std::sregex_iterator call(text.begin(), text.end(), kCall), end; call != end; ++call)
      EXPECT_THAT((std::set<std::string>{"double", "has", "size", "matches"}),
                  ::testing::Contains((*call)[1].str()))
          << path;
  }
  if (!schema.contains("properties")) return;
  for (const auto& property : schema["properties"].items())
    check_structure(property.value(), path + "." + property.key(), in_list);
}

TEST_P(Crd, IsStructuralDescribedAndBounded) {
  check_structure(load_schema(GetParam().crd), "(root)", false);
}

TEST_P(Crd, NamesOfPodsFitIntoSixtyThreeCharacters) {
  const Json rules = load_schema(GetParam().crd)["x-kubernetes-validations"];
  EXPECT_EQ(rules[0]["rule"], "size(self.metadata.name) <= " + std::to_string(api::kNameMax));
  EXPECT_LE(api::kNameMax + std::string("-aggregator-0").size(), 63U);
  EXPECT_LE(api::kNameMax + ("-worker-" + std::to_string(spec::kWorkersMax - 1)).size(), 63U);
  EXPECT_LE(api::kNameMax + ("-client-" + std::to_string(spec::kClientPodsMax - 1)).size(), 63U);
}

// Every field of a progress message, with a value; and two points.
void fill(google::protobuf::Message& message) {
  const auto& values = *message.GetReflection();
  const auto& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const auto* field = type.field(i);
    using Field = google::protobuf::FieldDescriptor;
    if (field->is_repeated()) {
      for (int point = 0; point < 2; ++point) fill(*values.AddMessage(&message, field));
    } else if (field->cpp_type() == Field::CPPTYPE_INT32) {
      values.SetInt32(&message, field, 9);
    } else if (field->cpp_type() == Field::CPPTYPE_INT64) {
      values.SetInt64(&message, field, 9);
    } else if (field->cpp_type() == Field::CPPTYPE_UINT64) {
      values.SetUInt64(&message, field, 9);
    } else if (field->cpp_type() == Field::CPPTYPE_BOOL) {
      values.SetBool(&message, field, true);
    } else if (field->cpp_type() == Field::CPPTYPE_STRING) {
      values.SetString(&message, field, "abc");
    } else {
      values.SetDouble(&message, field, 0.5);
    }
  }
}

std::set<std::string> names_of(const Json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

// The CRD's status.progress has exactly the figures of control.proto.
TEST_P(Crd, TheStatusThatTheOperatorWritesIsInTheSchema) {
  const bool job_kind = GetParam().name == std::string("DistributedJob");
  ClusterModel cluster(job_kind ? job().workers(2).json() : federated_round(4, 2));
  const Json schema = load_schema(GetParam().crd)["properties"]["status"];
  const auto check = [&] { EXPECT_THAT(violations(schema, cluster.object["status"], "status"), IsEmpty()); };
  cluster.bring_up();
  check();
  for (auto& [uid, agent] : cluster.agents) {
    fill(*agent.mutable_worker());
    fill(*agent.mutable_aggregator());
    agent.mutable_worker()->set_total_steps(1000);  // something is left to do
    agent.mutable_aggregator()->set_rounds(1000);
    agent.mutable_aggregator()->clear_endless();  // that has no percent
    agent.add_warnings("the training diverged");
  }
  cluster.settle();
  auto wanted = names_of(schema["properties"]["progress"]["properties"]);
  EXPECT_EQ(wanted.erase("endless"), job_kind ? 0U : 1U);
  EXPECT_EQ(wanted.erase("metrics"), job_kind ? 1U : 0U);               // of programs, not of ours
  EXPECT_EQ(wanted.erase("trainedSecondsBefore"), job_kind ? 1U : 0U);  // where something was
  EXPECT_EQ(names_of(cluster.object["status"]["progress"]), wanted);
  EXPECT_TRUE(cluster.object["status"].contains("history"));
  check();
  cluster.end_pod(job_kind ? "digits-worker-1" : "phones-client-1", 0);
  cluster.settle();
  check();
  cluster.end_pod(job_kind ? "digits-worker-0" : "phones-client-0", 1, "oops");
  cluster.settle();
  check();
  cluster.finish_deletions();
  cluster.bring_up();
  for (const auto& [name, pod] : std::map(cluster.pods)) cluster.end_pod(name, 65, "gone");
  cluster.settle();
  EXPECT_TRUE(cluster.is("Failed"));
  check();
}

TEST(Examples, AreAcceptedByParserAndSchema) {
  const std::vector<std::string> paths = example_paths();
  EXPECT_GE(paths.size(), 6U);
  for (const std::string& path : paths) {
    int objects = 0;
    for (const Json& object : load_yaml(path)) {
      if (object["apiVersion"] != api::kGroupVersion) continue;
      ++objects;
      const bool is_job = object["kind"] == "DistributedJob";
      EXPECT_THAT(violations(load_schema(kKinds[is_job ? 0 : 1].crd), object, ""), IsEmpty()) << path;
      const Status read = is_job ? [&]() -> Status {
        MUSTER_TRY(api::distributed_job_spec_from_json(object["spec"]));
        return {};
      }()
          : [&]() -> Status {
              MUSTER_TRY(api::federated_round_spec_from_json(object["spec"]));
              return {};
            }();
      EXPECT_TRUE(read) << path << ": " << (read ? "" : read.error().message);
    }
    EXPECT_EQ(objects, 1) << path;
  }
}

}  // namespace
}  // namespace muster::op::testing
