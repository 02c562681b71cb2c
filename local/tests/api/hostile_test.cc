// Bytes that a client would only send to break the server: each is refused, and nothing else happens.
#include <fmt/format.h>

#include "local/api/cel/program.h"
#include "local/api/formats.h"
#include "local/api/json_path.h"
#include "local/api/patch.h"
#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

std::string repeat(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

constexpr int kDeep = 200'000;  // levels; each would take some 100 bytes of stack or more

TEST(Hostile, ABodyThatIsNestedDeeplyIsRefusedWhereverItIsRead) {
  Api api;
  const std::string maps = "/api/v1/namespaces/default/configmaps";
  (void)api.json("POST", maps, config_map("a"));
  const std::string deep = repeat(R"({"a":)", kDeep) + "1" + repeat("}", kDeep);
  for (const char* type : {"application/json", "application/yaml"})
    EXPECT_EQ(api.call("POST", maps, Json(deep), type).status, 400) << type;
  for (const char* type : {"application/json-patch+json", "application/merge-patch+json",
                           "application/strategic-merge-patch+json", "application/apply-patch+yaml"})
    EXPECT_EQ(api.call("PATCH", maps + "/a?fieldManager=m", Json(deep), type).status, 400) << type;
  EXPECT_EQ(api.call("DELETE", maps + "/a", Json(deep)).status, 400);
  EXPECT_EQ(api.call("GET", maps + "/a").status, 200);
}

TEST(Hostile, AJsonPatchCanNeitherDoubleNorNestAValueWithoutEnd) {
  Json copies = Json::array();
  for (int i = 0; i < 64; ++i)
    copies.push_back({{"op", "copy"}, {"from", ""}, {"path", "/k" + std::to_string(i)}});
  Json target{{"a", "x"}};
  EXPECT_EQ(json_patch(target, copies).error().code, 413);

  Json wraps = Json::array();
  for (int i = 0; i < 3300; ++i) {
    wraps.push_back({{"op", "add"}, {"path", "/new"}, {"value", Json::object()}});
    wraps.push_back({{"op", "move"}, {"from", "/old"}, {"path", "/new/k"}});
    wraps.push_back({{"op", "move"}, {"from", "/new"}, {"path", "/old"}});
  }
  target = Json{{"old", 1}};
  EXPECT_EQ(json_patch(target, wraps).error().code, 400);
}

TEST(Hostile, ARuleThatIsDeepIsRefused) {
  for (const std::string& rule :
       {"self" + repeat(".a", 30'000), "self" + repeat("[0]", 20'000), repeat("self+", 10'000) + "self",
        repeat("(", 30'000) + "1" + repeat(")", 30'000), repeat("!", 60'000) + "true"})
    EXPECT_FALSE(cel::parse(rule)) << rule.substr(0, 20);
}

TEST(Hostile, ARuleThatMakesMuchOfLittleIsStopped) {
  Json self = Json::array();
  for (int i = 0; i < 1000; ++i) self.push_back(std::string(100, 'x'));
  FieldErrors errors;
  const SchemaPtr texts =
      compile_schema(Json{{"type", "array"}, {"items", Json{{"type", "string"}}}}, "", errors);
  const std::string shared = "[[self, self, self, self]" + repeat(".map(a, [a, a, a, a])", 20) + "]";
  for (const std::string& rule : {shared + ".all(a, a == a)", fmt::format("{0}.all(a, a in {0})", shared),
                                  std::string("self.all(a, self.all(b, self.all(c, self == self)))"),
                                  std::string("self.all(a, self.exists(b, self.exists(c, true)))"),
                                  std::string("self.all(a, self.all(b, !a.matches('y+' + b)))")}) {
    const auto program = cel::Program::compile(rule, cel::Scope{texts.get(), false}, "bool");
    ASSERT_TRUE(program) << program.error().message;
    cel::Budget budget;
    const auto value = (*program)->evaluate(cel::Value::of_json(self, texts.get()), nullptr, budget);
    ASSERT_FALSE(value) << rule;
    EXPECT_EQ(value.error().code, Code::kOutOfRange) << rule;
  }
}

TEST(Hostile, AJsonPathNeitherRecursesNorSearchesWithoutEnd) {
  EXPECT_FALSE(JsonPath::compile(".a" + repeat("[?(@.a", 600) + repeat(")]", 600)));
  Json deep = 1;
  for (int i = 0; i < 200; ++i) deep = Json{{"a", std::move(deep)}};
  const auto path = JsonPath::compile(repeat("..a", 100));
  ASSERT_TRUE(path);
  EXPECT_LT(path->find(deep).size(), 100'000U);
}

TEST(Hostile, ATimeOutsideTheClocksRangeStillHasAnAge) {
  const WallTime now = std::chrono::system_clock::now();
  EXPECT_EQ(age("9999-12-31T23:59:59Z", now), "<invalid>");
  EXPECT_EQ(age("0001-01-01T00:00:00Z", now).back(), 'y');
}

TEST(Hostile, NullsInListsAreEmptyObjects) {
  Api api;
  const std::string base = "/api/v1/namespaces/default/";
  const Json nothing = Json::array({nullptr});
  const std::pair<const char*, Json> bodies[] = {
      {"services", {{"metadata", {{"name", "a"}}}, {"spec", {{"ports", nothing}}}}},
      {"pods", {{"metadata", {{"name", "a"}}}, {"spec", {{"containers", nothing}}}}},
      {"pods",
       {{"metadata", {{"name", "a"}}},
        {"spec",
         {{"containers", {{{"name", "c"}, {"image", "i"}, {"ports", nothing}, {"env", nothing}}}}}}}}};
  for (const auto& [plural, body] : bodies) {
    const HttpResponse refused = api.call("POST", base + plural, body);
    EXPECT_EQ(refused.status, 422) << refused.body;
  }
}

}  // namespace
}  // namespace muster::local
