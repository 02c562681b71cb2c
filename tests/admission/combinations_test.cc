// tests/admission/combinations_test.cc: what fields say together (combinations.yaml, changes.yaml): who
// refuses it, with which path and remedy
#include <gmock/gmock.h>

#include <set>

#include "common/json/access.h"
#include "tests/admission/admission.h"
#include "tests/admission/pods.h"

namespace muster::admission {
namespace {

using ::testing::HasSubstr;

Json patched(Json object, const Json& patch) {
  object.merge_patch(patch);
  return object;
}

// Whose messages have been seen; all of a definition's rules must be among them.
void note(const Verdict& verdict, std::set<std::string>& seen) {
  if (verdict.causes.is_array())
    for (const Json& cause : verdict.causes) seen.insert(text_at(cause, "message"));
}

void rules_of(const Json& schema, std::vector<std::string>& out) {
  for (const Json& rule : schema.value("x-kubernetes-validations", Json::array()))
    out.push_back(rule["message"]);
  if (schema.contains("items")) rules_of(schema["items"], out);
  if (schema.contains("properties"))
    for (const auto& property : schema["properties"].items()) rules_of(property.value(), out);
}

void judge_refusal(const Json& row, const Verdict& verdict) {
  const std::string what = row["what"];
  const std::string path = row["path"];
  EXPECT_EQ(verdict.code, 422) << what << ": " << verdict.message;
  EXPECT_THAT(verdict.message, HasSubstr(path)) << what;
  EXPECT_THAT(verdict.message, HasSubstr(row["says"].get<std::string>())) << what;
}

void judge_combination(const Json& row, Server& server, std::set<std::string>& seen) {
  const std::string what = row["what"];
  const std::string by = row["by"];
  const Json object = patched(sample(row["sample"]), row["set"]);
  const Verdict verdict = server.create(object);
  note(verdict, seen);
  const Status read_it = read(verdict.taken() ? verdict.object : object);
  const std::string message = read_it ? "" : read_it.error().message;
  EXPECT_TRUE(read_it || has_remedy(message)) << what << ": " << message;
  if (by == "server") {
    judge_refusal(row, verdict);
    EXPECT_EQ(bool(read_it), text_at(row, "reader") == "takes") << what << ": the reader says " << message;
    return;
  }
  ASSERT_TRUE(verdict.taken()) << what << ": " << verdict.message;
  if (by == "reader") {
    EXPECT_THAT(message, HasSubstr(row["path"].get<std::string>())) << what;
    EXPECT_THAT(message, HasSubstr(row["says"].get<std::string>())) << what;
    return;
  }
  ASSERT_TRUE(read_it) << what << ": " << message;
  const std::string refused = refusal_of_pods(server, verdict.object);
  if (by == "nobody") {
    EXPECT_EQ(refused, "") << what;
    return;
  }
  EXPECT_EQ(by, "pods");
  EXPECT_THAT(refused, HasSubstr(row["path"].get<std::string>())) << what;
  EXPECT_THAT(refused, HasSubstr(row["says"].get<std::string>())) << what;
}

void judge_change(const Json& row, Server& server, std::set<std::string>& seen) {
  const Json before = patched(sample(row["sample"]), row.value("before", Json::object()));
  const Json kept = server.keep(before);
  const Verdict verdict = server.change(patched(kept, row["set"]));
  server.remove(kept);
  note(verdict, seen);
  if (row.contains("path"))
    judge_refusal(row, verdict);
  else
    EXPECT_TRUE(verdict.taken()) << row["what"] << ": " << verdict.message;
}

TEST(Combinations, AreRefusedWithPathAndRemedyAndEachRuleIsBroken) {
  Server server;
  std::set<std::string> seen;
  for (const Json& row : load("tests/admission/combinations.yaml")) judge_combination(row, server, seen);
  for (const Json& row : load("tests/admission/changes.yaml")) judge_change(row, server, seen);
  for (const char* kind : {"DistributedJob", "FederatedRound"}) {
    std::vector<std::string> rules;
    rules_of(schema_of(kind), rules);
    EXPECT_GT(rules.size(), 10U);
    for (const std::string& rule : rules) {
      EXPECT_TRUE(has_remedy(rule)) << rule;
      if (rule.starts_with("must be at least ")) continue;  // of one number: field_cases.cc breaks it
      const auto broken = [&rule](const std::string& message) {
        return message.find(rule) != std::string::npos;
      };
      EXPECT_TRUE(std::any_of(seen.begin(), seen.end(), broken))
          << "no case breaks a rule of " << kind << ": " << rule
          << "; add one to combinations.yaml or changes.yaml in tests/admission";
    }
  }
}

}  // namespace
}  // namespace muster::admission
