// Label and field selectors: what they match, and what is wrong with those that cannot be parsed.
#include "local/api/selectors.h"
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

bool selects(const std::string& selector, const std::vector<std::pair<std::string, std::string>>& labels) {
  const auto parsed = parse_label_selector(selector);
  EXPECT_TRUE(parsed) << selector << ": " << (parsed ? "" : parsed.error().message);
  return parsed && matches(*parsed, labels);
}

TEST(LabelSelector, EveryOperatorJudgesPresentAndAbsentLabels) {
  const std::vector<std::pair<std::string, std::string>> labels{{"n", "5"}, {"team", "a"}};
  for (const char* yes :
       {"", "team", "!none", "team=a", "team==a", "team!=b", "none!=a", "team in (a,b)", "team in (,a)",
        "none notin ()", "team notin (b)", "none notin (b)", "n>4", "n<6", "team=a,n", " team = a , n "})
    EXPECT_TRUE(selects(yes, labels)) << yes;
  for (const char* no : {"none", "!team", "team=b", "team!=a", "none=", "team in (b)", "none in (a)",
                         "team notin (a)", "n>5", "n<5", "team=a,none"})
    EXPECT_FALSE(selects(no, labels)) << no;
}

TEST(LabelSelector, AWrongOneIsRefusedWithTheWordsOfTheRealParser) {
  const std::pair<const char*, const char*> cases[] = {
      {"a in b", "unable to parse requirement: found 'b' expected: '('"},
      {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
      {"a=b,", "found '', expected: identifier after ','"},
      {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
      {"a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"},
      {"a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"},
      {"!a b", "found 'b', expected: ',' or 'end of string'"},
      {"a>x",
       "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value "
       "must be an integer"},
      {"(", "found '(', expected: !, identifier, or 'end of string'"},
  };
  for (const auto& [selector, message] : cases) {
    const auto parsed = parse_label_selector(selector);
    ASSERT_FALSE(parsed) << selector;
    EXPECT_EQ(parsed.error().message, message) << selector;
  }
}

std::string refusal(const std::string& resource, const std::string& fields) {
  const Kinds kinds;
  const auto parsed = Selector::parse("", fields, *kinds.table()->preferred(resource));
  return parsed ? "" : parsed.error().message;
}

TEST(FieldSelector, OnlyTheFieldsOfAKindAreKnown) {
  EXPECT_EQ(refusal("pods", "spec.nodeName=x,status.phase!=Running,metadata.name=a"), "");
  EXPECT_EQ(refusal("pods", "spec.image=x"), "field label not supported: spec.image");
  EXPECT_EQ(refusal("configmaps", "data.a=1"),
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
  EXPECT_EQ(refusal("jobs.batch", "x=1"), "field label \"x\" not supported for batchv1.Job");
}

TEST(FieldSelector, TermsAreCutAndUnescapedAsTheRealParserDoes) {
  EXPECT_EQ(refusal("pods", "nonsense"), "invalid selector: 'nonsense'; can't understand 'nonsense'");
  EXPECT_EQ(refusal("pods", "metadata.name=a=b"), "invalid field selector: unescaped character in value: 61");
  EXPECT_EQ(refusal("pods", "metadata.name=a\\x"), "invalid field selector: invalid escape sequence: \\x");
  EXPECT_EQ(refusal("pods", "metadata.name=a\\,b,,"), "");
}

TEST(FieldSelector, AbsentFieldsHaveTheirZeroValue) {
  Api api;
  (void)api.json("POST", "/api/v1/nodes",
                 Json{{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", "n"}}}});
  EXPECT_EQ(api.get("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse")["items"].size(), 1U);
  EXPECT_EQ(api.get("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue")["items"].size(), 0U);
}

}  // namespace
}  // namespace muster::local
