// tests/admission/templates_test.cc: pod templates in which one value is something else, and objects with
// several odd fields: what the definition lets pass the operator takes, or refuses with the path, and never
// falls over
#include <gmock/gmock.h>

#include <random>

#include "tests/admission/admission.h"
#include "tests/admission/field_cases.h"
#include "tests/admission/pods.h"

namespace muster::admission {
namespace {

using ::testing::HasSubstr;

constexpr int kOddObjects = 600;
constexpr std::int64_t kPodsMax = 40;  // of an object whose pods are made

void values_in(const Json& value, const Json::json_pointer& at, std::vector<Json::json_pointer>& out) {
  out.push_back(at);
  if (value.is_object())
    for (const auto& [name, inner] : value.items()) values_in(inner, at / name, out);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i) values_in(value[i], at / i, out);
}

// Every value of a template, in turn, as something else.
void twist(const std::string& file, const std::string& part) {
  Server server;
  const Json usual = sample(file);
  const Json::json_pointer root(part);
  std::vector<Json::json_pointer> values;
  values_in(usual.at(root), Json::json_pointer(), values);
  ASSERT_GT(values.size(), 5U);
  std::string path = part.substr(1);
  std::replace(path.begin(), path.end(), '/', '.');
  for (const Json::json_pointer& at : values) {
    for (const Json& other :
         {Json(nullptr), Json::object(), Json::array(), Json(""), Json("Odd one!"), Json(-7), Json(1e300),
          Json(true), Json::array({nullptr}), Json{{"name", nullptr}}}) {
      Json object = usual;
      object[root / at] = other;
      const std::string what = file + " " + at.to_string() + " = " + other.dump();
      const Verdict verdict = server.create(object);
      if (!verdict.taken()) {
        EXPECT_THAT(verdict.message, HasSubstr("spec.")) << what;
        continue;
      }
      const Status seen = read(verdict.object);
      const std::string refused = seen ? refusal_of_pods(server, verdict.object) : seen.error().message;
      if (refused.empty()) continue;
      EXPECT_THAT(refused, HasSubstr(seen ? path : "spec.")) << what;
      EXPECT_TRUE(seen || has_remedy(refused)) << what << ": " << refused;
    }
  }
}

TEST(Templates, OfAProgramWithOddValuesAreTakenOrRefusedWithThePath) {
  twist("job-own-program", "/spec/workers/template");
}
TEST(Templates, OfATrainingWithOddValuesAreTakenOrRefusedWithThePath) {
  twist("job-csv", "/spec/workers/template");
}
TEST(Templates, OfAnAggregatorWithOddValuesAreTakenOrRefusedWithThePath) {
  twist("round-csv", "/spec/aggregator/template");
}
TEST(Templates, OfClientsWithOddValuesAreTakenOrRefusedWithThePath) {
  twist("round-csv", "/spec/clients/template");
}

std::int64_t pods_of(const Json& object) {
  const Json& spec = object["spec"];
  if (object["kind"] == "DistributedJob") return spec["workers"]["replicas"].get<std::int64_t>();
  return spec["clients"]["count"].get<std::int64_t>() / spec["clients"]["perPod"].get<std::int64_t>();
}

// What another object has changed, unless an earlier change has taken its place away.
void change_as_in(const Json& other, const Json& usual, Json& object) {
  const Json patch = Json::diff(usual, other);
  for (const Json& step : patch) {  // which the library asserts, where assertions are on
    const auto parent = Json::json_pointer(step["path"].get<std::string>()).parent_pointer();
    if (!object.contains(parent) || !object[parent].is_structured()) return;
  }
  try {
    object = object.patch(patch);
  } catch (const Json::exception&) {
    return;
  }
}

// Values of two to five fields at once, each of which is odd or at its bound.
TEST(Objects, WithSeveralOddFieldsAreTakenOrRefusedWithThePath) {
  Server server;
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::map<std::string, std::vector<FieldCase>> by_sample;
  for (const char* kind : {"DistributedJob", "FederatedRound"})
    for (FieldCase& each : field_cases(kind, "spec"))
      if (each.expect != FieldCase::Expect::kRefused || random() % 8 == 0)
        by_sample[each.file].push_back(std::move(each));
  int taken = 0;
  for (int i = 0; i < kOddObjects; ++i) {
    const std::string& file = samples()[random() % samples().size()].file;
    const std::vector<FieldCase>& cases = by_sample[file];
    ASSERT_FALSE(cases.empty()) << file;
    Json object = sample(file);
    const std::size_t fields = 2 + random() % 4;
    for (std::size_t field = 0; field < fields; ++field)
      change_as_in(cases[random() % cases.size()].object, sample(file), object);
    const Verdict verdict = server.create(object);
    EXPECT_LT(verdict.code, 500) << verdict.message;
    const Status seen = read(verdict.taken() ? verdict.object : object);
    EXPECT_TRUE(seen || has_remedy(seen.error().message)) << seen.error().message;
    if (!verdict.taken()) continue;
    ++taken;
    if (seen && pods_of(verdict.object) <= kPodsMax) (void)refusal_of_pods(server, verdict.object);
  }
  EXPECT_GT(taken, kOddObjects / 20);
}

}  // namespace
}  // namespace muster::admission
