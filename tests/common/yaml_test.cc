// tests/common/yaml_test.cc: what common/yaml promises (YAML <-> JSON as Kubernetes reads and writes it)
#include "common/yaml/yaml.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

namespace muster {
namespace {

Json read(const std::string& text) {
  auto documents = parse_yaml(text, "t.yaml");
  if (!documents) return Json("ERROR " + documents.error().message);
  return documents->empty() ? Json() : documents->front().value;
}

TEST(Yaml, ReadsScalarsAsKubernetesDoes) {
  EXPECT_EQ(
      read("[1, -2, 0x10, 0644, 1.5, 1e3, true, no, ~, null, '1', \"yes\", abc, 1.2.3, +5, 0o17, 1_000, _1, "
           "y, N]"),
      Json::parse(
          R"([1,-2,16,420,1.5,1000,true,false,null,null,"1","yes","abc","1.2.3",5,15,1000,"_1",true,false])"));
}

// tests/python/manifest_test.py holds the Python package to the same table.
TEST(Yaml, ReadsTheScalarsOfTheTable) {
  std::ifstream file(YAML_DATA "/plain_scalars.json");
  const Json table = Json::parse(file);
  EXPECT_GT(table.size(), 50U);
  for (const Json& row : table) {
    const auto text = row.at(0).get<std::string>();
    EXPECT_EQ(read("- " + text).dump(), Json::array({row.at(1)}).dump()) << text;
  }
}

TEST(Yaml, KeepsTheFullRangeOfIntegers) {
  EXPECT_EQ(read("[9223372036854775807, -9223372036854775808, 18446744073709551615]").dump(),
            "[9223372036854775807,-9223372036854775808,18446744073709551615]");
}

TEST(Yaml, ExpandsAliasesAndMergeKeys) {
  EXPECT_EQ(read("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}"),
            Json::parse(R"({"base":{"x":1,"y":2},"use":{"x":1,"y":3}})"));
}

TEST(Yaml, NamesFileLineAndColumnOfBrokenText) {
  const auto broken = parse_yaml("a: 1\nb: [1, 2\nc: 3\n", "job.yaml");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message.rfind("job.yaml:3:", 0), 0U) << broken.error().message;
  EXPECT_NE(broken.error().message.find("not YAML"), std::string::npos);
}

TEST(Yaml, NamesATabThatSetsALineIn) {
  for (const char* text : {"a:\n  b: 1\n\tc: 2\n", "a:\n\tb: 1\n", "a:\n  b:\n  \t- 1\n  \t- 2\n"}) {
    const auto broken = parse_yaml(text, "job.yaml");
    ASSERT_FALSE(broken) << text;
    EXPECT_NE(broken.error().message.find("not YAML: the line is set in by a tab; use spaces instead"),
              std::string::npos)
        << broken.error().message;
  }
  EXPECT_EQ(read("a: |\n  all:\n  \tmake\n"), Json::parse(R"({"a": "all:\n\tmake\n"})"));
}

TEST(Yaml, RefusesAKeyThatAppearsTwice) {
  const auto twice = parse_yaml("spec:\n  a: 1\n  a: 2\n", "job.yaml");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "job.yaml:3:3: key 'spec.a' appears twice; remove one of them");
}

TEST(Yaml, RefusesBinaryData) {
  EXPECT_FALSE(parse_yaml(std::string("\x7f"
                                      "ELF\0\0",
                                      6),
                          "x"));
}

TEST(Yaml, RefusesWhatIsNotUtf8) {
  const auto latin = parse_yaml("name: caf\xE9", "latin.yaml");
  ASSERT_FALSE(latin);
  EXPECT_EQ(latin.error().message, "latin.yaml: not YAML: it is not UTF-8; save it as UTF-8");
}

TEST(Yaml, StopsAnAliasBombInsteadOfEatingTheMemory) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += (k > 0 ? ",*a" : "*a") + last;
    bomb += "]\n";
  }
  const auto exploded = parse_yaml(bomb, "bomb.yaml");
  ASSERT_FALSE(exploded);
  EXPECT_NE(exploded.error().message.find("its aliases expand to more than"), std::string::npos);
}

TEST(Yaml, SurvivesDeepNesting) { EXPECT_FALSE(parse_yaml(std::string(100'000, '['), "deep.yaml")); }

TEST(Yaml, RefusesABracketThatClosesNothing) {
  for (const char* text : {"]", "a: b\n---\n}", "{\"a\" \"b\": 1}}", "- {b: 2}}-& x ["}) {
    const auto parsed = parse_yaml(text, "broken.yaml");
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find("broken.yaml:"), std::string::npos) << parsed.error().message;
  }
}

TEST(Yaml, SkipsEmptyDocumentsAndKeepsTheLinesOfTheOthers) {
  const auto documents = parse_yaml("# nothing\n---\n---\na: 1\nb:\n- c: 2\n---\n", "t.yaml");
  ASSERT_TRUE(documents);
  ASSERT_EQ(documents->size(), 1U);
  EXPECT_EQ(documents->front().lines.at("b[0].c"), 6);
}

Json random_json(std::mt19937& random, int depth) {
  static const std::vector<std::string> kTexts{
      "",     "yes", "1",     "0644", "1e3", " a",         "a ",  "a: b", "- x", "#x",
      "null", "~",   "plain", "a\nb", "a\n", "\n",         "\ta", "é█",   "'q'", "\"",
      "a #b", "{x}", "1.2.3", "-",    "--",  "2026-01-01", "y",   "a:",   "\x01"};
  switch (random() % (depth > 3 ? 4 : 6)) {
    case 0: return static_cast<std::int64_t>(random()) - (1 << 30);
    case 1: return kTexts[random() % kTexts.size()];
    case 2: return random() % 2 == 0 ? Json(true) : Json(nullptr);
    case 3: return 0.25 * static_cast<double>(random() % 1000) + 0.125;
    case 4: {
      Json array = Json::array();
      for (std::size_t i = random() % 4; i > 0; --i) array.push_back(random_json(random, depth + 1));
      return array;
    }
    default: {
      Json object = Json::object();
      for (std::size_t i = random() % 4; i > 0; --i)
        object[kTexts[random() % kTexts.size()]] = random_json(random, depth + 1);
      return object;
    }
  }
}

// Readers of YAML 1.1, as kubectl is, take NEL and the separators for the end of a line: what followed one
// was a field of its own. Terminals obey C1.
TEST(Yaml, WritesNoCharacterThatEndsALineOrSteersATerminal) {
  for (const std::string special : {"\x7f", "\u0080", "\u0085", "\u009b", "\u2028", "\u2029", "\ufeff"}) {
    for (const std::string& text : {fmt::format("x{0}y:{0} z", special), special, "a\nb" + special}) {
      const Json value{{text, text}};
      const std::string written = to_yaml(value);
      EXPECT_EQ(written.find(special), std::string::npos) << written;
      EXPECT_EQ(read(written), value) << written;
    }
  }
  EXPECT_EQ(to_yaml({{"a", "\u2028\u00e9\U0001f600"}}), "a: \"\\u2028\u00e9\U0001f600\"\n");
}

TEST(Yaml, WritesTextThatIsANumberForKubectlInQuotes) {
  for (const char* text :
       {".inf", "-.INF", "+.Inf", ".NaN", "0b11", "-0b1", "0b1_0", ".1_0", "+1_000", "-0x_f", "1_0e3"})
    EXPECT_EQ(to_yaml({{"a", text}}), fmt::format("a: \"{}\"\n", text));
  for (const char* text : {"0b12", ".info", "x_1", "966819a4-37d3"})
    EXPECT_EQ(to_yaml({{"a", text}}), fmt::format("a: {}\n", text));
}

TEST(Yaml, ReadsPairsOfEscapesInJson) {
  EXPECT_EQ(read(R"({"a": "\ud83d\ude00 \\ud83d \u00e9"})"), Json({{"a", "\U0001f600 \\ud83d \u00e9"}}));
  EXPECT_FALSE(parse_yaml(R"({"a": "\ud83d"})", "half.json"));
}

TEST(Yaml, WritesWhatItReadsBackForRandomValues) {
  const unsigned seed = std::random_device()();
  std::mt19937 random(seed);
  for (int i = 0; i < 500; ++i) {
    const Json value{{"value", random_json(random, 0)}};
    const std::string text = to_yaml(value);
    ASSERT_EQ(read(text), value) << "seed " << seed << "\n" << text;
  }
}

}  // namespace
}  // namespace muster
