// CEL: what expressions mean, which are refused when they are compiled, and what bounds them.
#include <gtest/gtest.h>

#include "local/api/cel/program.h"
#include "local/api/yaml.h"

namespace muster::local {
namespace {

// The schema that the expressions speak of as `self`.
const Schema& robot() {
  static const SchemaPtr kSchema = [] {
    FieldErrors errors;
    auto schema = compile_schema(*parse_yaml(R"(
type: object
properties:
  a: {type: integer}
  n: {type: number}
  s: {type: string}
  t: {type: string, format: date-time}
  d: {type: string, format: duration}
  l: {type: array, items: {type: string}}
  set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
  m: {type: object, additionalProperties: {type: integer}}
  p: {x-kubernetes-int-or-string: true}
  o: {type: array, items: {type: object, properties: {name: {type: string}, w: {type: integer}}}}
  my-name: {type: string}
  free: {type: object, x-kubernetes-preserve-unknown-fields: true}
)"),
                                 "", errors);
    EXPECT_TRUE(errors.empty());
    return schema;
  }();
  return *kSchema;
}

Result<cel::Value> evaluate(const std::string& text, const Json& self, cel::Budget budget = {}) {
  auto program = cel::Program::compile(text, cel::Scope{&robot(), false}, "bool");
  if (!program) return program.error();
  return (*program)->evaluate(cel::Value::of_json(self, &robot()), nullptr, budget);
}

std::string refusal(const std::string& text) {
  const auto program = cel::Program::compile(text, cel::Scope{&robot(), false}, "bool");
  return program ? "accepted" : program.error().message;
}

TEST(Cel, JudgesValuesByTheTypesOfTheirSchema) {
  const Json self = *parse_yaml(R"(
a: 3
n: 2
s: abc
t: 2024-02-29T12:00:00Z
d: 90m
l: [x, "y"]
set: [q, r]
m: {k: 1}
p: 50%
o: [{name: a, w: 1}, {name: b, w: 2}]
my-name: z
)");
  for (const char* holds : {
           "self.a * 2 == 6 && self.a % 2 == 1 && -self.a < 0",
           "self.n > 1 && self.n / 4.0 == 0.5",
           "self.s.size() == 3 && self.s.matches('^[a-c]+$')",
           "self.s.startsWith('ab') && self.s.contains('b')",
           "self.l.all(x, x in ['x', 'y', 'z']) && self.l.exists_one(x, x == 'y')",
           "self.l.map(x, x + '!') == ['x!', 'y!'] && self.l.map(x, x > 'x', x) == ['y']",
           "self.set == ['r', 'q'] && !(self.l == ['y', 'x'])",
           "self.m.all(k, self.m[k] > 0) && 'k' in self.m && !('z' in self.m)",
           "type(self.p) == string ? self.p.endsWith('%') : self.p < 100",
           "self.o.filter(x, x.w > 1).map(x, x.name) == ['b']",
           "self.my__dash__name == 'z' && !has(self.free)",
           "int('3') == self.a && string(self.a) == '3' && double(self.a) == 3.0 && bool('true')",
           "false && self.l[9] == 'x' || true",
       }) {
    const auto result = evaluate(holds, self);
    ASSERT_TRUE(result) << holds << ": " << result.error().message;
    EXPECT_TRUE(result->is_true()) << holds;
  }
}

TEST(Cel, ErrorsOfAnEvaluationAreNamed) {
  EXPECT_EQ(evaluate("self.a > 1", Json::object()).error().message, "no such key: a");
  EXPECT_EQ(evaluate("self.l[2] == 'x'", Json{{"l", {"a"}}}).error().message, "index out of bounds: 2");
  EXPECT_EQ(evaluate("1 / self.a == 1", Json{{"a", 0}}).error().message, "division by zero");
  EXPECT_EQ(evaluate("self.a * 9223372036854775807 > 0", Json{{"a", 2}}).error().message, "integer overflow");
  EXPECT_EQ(evaluate("self.p > 1", Json{{"p", "x"}}).error().message, "no such overload");
  // A schema takes 2.0 for an integer, a rule does not.
  for (const char* reads : {"self.a > 1", "self.m['a'] > 1", "self.o.all(each, each.w > 1)"})
    EXPECT_EQ(evaluate(reads, Json{{"a", 2.0}, {"m", {{"a", 2.0}}}, {"o", {{{"w", 2.0}}}}}).error().message,
              "invalid data, expected int, got float64")
        << reads;
  EXPECT_TRUE(evaluate("has(self.a) && self.n > 1.0", Json{{"a", 2.0}, {"n", 2.0}})->is_true());
}

TEST(Cel, WhatCannotBeRightIsRefusedWhenItIsWritten) {
  const auto says = [](const std::string& text, const std::string& what) {
    EXPECT_NE(refusal(text).find(what), std::string::npos) << text << ": " << refusal(text);
  };
  says("self.zz == 1", "undefined field 'zz'");
  says("self.free.x == 1", "undefined field 'x'");
  says("self.a > 'x'", "found no matching overload for '_>_' applied to '(int, string)'");
  says("self.a == 1.0", "found no matching overload for '_==_' applied to '(int, double)'");
  says("self.a.size() > 1", "found no matching overload for 'size' applied to 'int.()'");
  says("self.s == null", "found no matching overload");
  says("other == 1", "undeclared reference to 'other'");
  says("self.s.frobnicate()", "frobnicate()");
  says("self.s.charAt(0) == 'a'", "this server does not know the function charAt()");
  says("quantity('1') == quantity('1')", "this server does not know the function quantity()");
  says("self.?s.orValue('') == ''", "Syntax error");
  says("self.t != ''", "undefined field 't'");
  says("self.a.all(x, true)", "cannot be range of a comprehension");
  says("self.a", "must evaluate to a bool");
  says("self.a >", "Syntax error");
  says("[1, 'a'].size() == 2", "expected type 'int' but found 'string'");
}

TEST(Cel, NothingThatIsWrittenExhaustsTheServer) {
  const auto repeated = [](const std::string& part, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += part;
    return text;
  };
  for (const std::string& text : {repeated("(", 5000), repeated("(", 300) + "true" + repeated(")", 300),
                                  "self" + repeated(".a", 9000), repeated("1+", 9000) + "1 == 1",
                                  repeated("!", 9000) + "true", repeated("[", 5000), std::string("\"")})
    EXPECT_NE(refusal(text), "accepted") << text.substr(0, 40);
  Json many{{"l", Json::array()}};
  for (int i = 0; i < 500; ++i) many["l"].push_back("x");
  const auto result =
      evaluate("self.l.all(a, self.l.all(b, self.l.all(c, a == b && b == c)))", many, cel::Budget{100'000});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kOutOfRange);
}

}  // namespace
}  // namespace muster::local
