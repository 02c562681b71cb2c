// tests/admission/assigned_test.cc: whatever changes in a spec, a pod that is told the same assignment again
// notices
#include <functional>
#include <set>

#include "common/json/access.h"
#include "common/spec/distributed_job.h"
#include "common/spec/federated_round.h"
#include "pod/assignment_difference.h"
#include "tests/admission/admission.h"

namespace muster::admission {
namespace {

using control::v1::Assignment;
using Pointer = Json::json_pointer;

bool is_job(const Json& object) { return text_at(object, "kind") == "DistributedJob"; }

bool readable(const Json& object, const Json& spec) {
  return is_job(object) ? spec::distributed_job_from_json(spec).has_value()
                        : spec::federated_round_from_json(spec).has_value();
}

Assignment assigned(const Json& object, const Json& spec) {
  Assignment made;
  if (is_job(object))
    made.mutable_worker();
  else
    made.mutable_client();
  made.set_spec(spec.dump());
  return made;
}

// Every value that is no object, but for what is in a pod template, which pods are not told.
void for_each_leaf(const Json& value, const Pointer& at, const std::function<void(const Pointer&)>& visit) {
  if (!value.is_object() || value.empty()) {
    visit(at);
    return;
  }
  for (const auto& [key, field] : value.items())
    if (key != "template") for_each_leaf(field, at / key, visit);
}

void collect_words(const Json& schema, std::set<std::string>& words) {
  if (schema.is_object() && schema.contains("enum") && schema["enum"].is_array())
    for (const Json& word : schema["enum"])
      if (word.is_string()) words.insert(word.get<std::string>());
  if (schema.is_structured())
    for (const Json& part : schema) collect_words(part, words);
}

// What else could stand there.
std::vector<Json> others(const Json& value, const std::set<std::string>& words) {
  std::vector<Json> list;
  if (value.is_boolean()) list = {!value.get<bool>()};
  if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    list = {number + 1, number - 1, number / 2, 0.25};
  } else if (value.is_number()) {
    list = {value.get<double>() / 2, value.get<double>() + 1, 0.25};
  }
  if (value.is_array() && !value.empty()) {
    list = {value, value};
    list[0].erase(value.size() - 1);
    list[1].push_back(value.back());
  }
  if (value.is_string()) {
    list.assign(words.begin(), words.end());
    list.push_back(value.get<std::string>() + "x");
  }
  std::erase(list, value);
  return list;
}

TEST(AssignedSpecs, EveryFieldThatChangesIsNoticed) {
  Server server;
  std::set<std::string> all, noticed;
  for (const Sample& sample : samples()) {
    const Verdict taken = server.create(sample.object);
    ASSERT_TRUE(taken.taken()) << sample.file << ": " << taken.message;
    if (!taken.object["spec"].contains("training")) continue;
    std::set<std::string> words;
    collect_words(schema_of(text_at(sample.object, "kind")), words);
    const Json& spec = taken.object["spec"];
    for_each_leaf(spec, Pointer(), [&](const Pointer& at) {
      all.insert(at.to_string());
      for (const Json& other : others(spec[at], words)) {
        Json changed = spec;
        changed[at] = other;
        if (!readable(sample.object, changed)) continue;
        const auto told = difference(assigned(sample.object, spec), assigned(sample.object, changed));
        EXPECT_TRUE(told) << sample.file << at.to_string() << ": " << other.dump();
        if (told) noticed.insert(at.to_string());
        break;
      }
    });
  }
  // What is left has no other value that goes with the rest; compression is looked at in control_proto_test.
  for (const std::string& one : noticed) all.erase(one);
  EXPECT_EQ(all,
            (std::set<std::string>{"/aggregator", "/compression/lowRank", "/compression/pruneBelow",
                                   "/compression/quantizationBits", "/personalization/personalLayers",
                                   "/runPolicy/restart", "/strategy/weighting", "/synchronization/updates",
                                   "/target/metric", "/training/objective"}));
}

}  // namespace
}  // namespace muster::admission
