// tests/learning/csv_test.cc: CSV files as pandas, R, Excel, numpy and people write them
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <cmath>
#include <set>
#include <utility>

#include "learning/dataset.h"
#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CsvFile : public testing::Test {
 protected:
  Result<Dataset> load(const std::string& text, spec::Csv csv = {}) {
    write_text(folder_.path() / "data.csv", text);
    return load_dataset({.name = "csv",
                         .path = (folder_.path() / "data.csv").string(),
                         .csv = std::move(csv),
                         .synthetic = {}},
                        3);
  }
  std::string error(const std::string& text, const spec::Csv& csv = {}) {
    const auto data = load(text, csv);
    EXPECT_FALSE(data) << text;
    if (data) return "";
    EXPECT_EQ(data.error().code, Code::kInvalidArgument);
    return data.error().message;
  }
  // All rows of both parts, sorted: features, then the label.
  static std::vector<std::vector<float>> rows(const Result<Dataset>& data) {
    std::vector<std::vector<float>> all;
    if (!data) ADD_FAILURE() << data.error().message;
    if (!data) return all;
    for (const Examples* part : {&data->train, &data->test}) {
      for (std::int64_t i = 0; i < part->size(); ++i) {
        std::vector<float> row(static_cast<std::size_t>(part->feature_count));
        part->copy_features(i, 1, row.data());
        row.push_back(static_cast<float>(part->labels[static_cast<std::size_t>(i)]));
        all.push_back(row);
      }
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  using Rows = std::vector<std::vector<float>>;
  const Rows kTwo{{1, 2.5, 0}, {3, 4, 1}};
  TemporaryFolder folder_;
};

TEST_F(CsvFile, IsReadWithItsLabelColumnAnywhere) {
  const auto data = load("a, \"kind\",b\r\n1,0,2.5\r\n-3e1,1,.5\r\n\r\n7,0,8\r\n",
                         {.label_column = "kind", .test_fraction = 0.34});
  EXPECT_EQ(rows(data), (Rows{{-30, 0.5, 1}, {1, 2.5, 0}, {7, 8, 0}}));
  EXPECT_EQ(data->train.size(), 2);
  EXPECT_EQ(data->train.feature_count, 2);
  EXPECT_EQ(data->train.class_count, 2);
  EXPECT_THAT(data->notes, IsEmpty());
  EXPECT_THAT(data->warnings, IsEmpty());
}

TEST_F(CsvFile, MayHoldSeparatorsQuotesAndLineBreaksInQuotes) {
  EXPECT_EQ(rows(load("\"width, cm\",\"height, \"\"raw\"\"\",label\n\"1\",2.5,0\n3,\"4\",\"1\"\n")), kTwo);
  EXPECT_EQ(rows(load("\"width\nin cm\",b,label\n1,2.5,\"a, or\nb\"\n3,4,\"c \"\"d\"\"\"\n")), kTwo);
  EXPECT_EQ(load("a,b,label\n1,2.5,\"a, or\nb\"\n3,4,\"c \"\"d\"\"\"\n")->class_names,
            (std::vector<std::string>{"a, or\nb", "c \"d\""}));
  EXPECT_EQ(rows(load("5\" pipe,b,label\n1,2.5,0\n3,4,1\n")), kTwo) << "a quote inside a cell is a letter";
  EXPECT_EQ(load("a,b,label\n1,2.5,6\" \"pipe\"\n3,4,x\"\"y\n")->class_names,
            (std::vector<std::string>{"6\" \"pipe\"", "x\"\"y"}));
}

TEST_F(CsvFile, MayUseSemicolonsTabsAndBarsAndDecimalCommas) {
  EXPECT_EQ(rows(load("a;b;label\n1;2.5;0\n3;4;1\n")), kTwo);
  EXPECT_EQ(rows(load("a\tb\tlabel\n1\t2.5\t0\n3\t4\t1\n")), kTwo);
  EXPECT_EQ(rows(load("a|b|label\n1|2.5|0\n3|4|1\n")), kTwo);
  EXPECT_EQ(rows(load("\"a;x\",b,label\n1,2.5,0\n3,4,1\n")), kTwo);
  EXPECT_EQ(rows(load("a;b, cm, and, so;label\n1;2,5;0\n3;4;1,0\n")), kTwo);
  EXPECT_EQ(rows(load("sep=;\na;b;label\n1;2.5;0\n3;4;1\n")), kTwo);
  EXPECT_THAT(error("a;b;label\n1;2,5;0\n3;4.5;1\n"),
              HasSubstr("line 3: column \"b\" has another decimal point"));
  EXPECT_THAT(error("a,b,label\n1,\"1,234\",0\n3,4.5,1\n"), HasSubstr("remove the separators of thousands"));
}

TEST_F(CsvFile, MayBeginWithBlankAndCommentLinesAndAByteOrderMark) {
  EXPECT_EQ(rows(load("\xEF\xBB\xBF"
                      "a,b,label\n1,2.5,0\n3,4,1\n")),
            kTwo);
  EXPECT_EQ(rows(load("\n  \n# made by hand, yes\n\na,b,label\n1,2.5,0\n3,4,1\n")), kTwo);
  EXPECT_EQ(rows(load("# by numpy\n# a,b,label\n1.0e+00,2.5,0\n3,4,1.0e+00\n")), kTwo);
}

TEST_F(CsvFile, MayEndItsLinesInEveryWay) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    for (const std::string& last : {std::string(), end, end + end}) {
      EXPECT_EQ(rows(load(fmt::format("a,b,label{0}1,2.5,0{0}3,4,1{1}", end, last))), kTwo);
      EXPECT_THAT(error(fmt::format("a,b,label{0}1,2.5,0{0}{0}x,4,1{1}", end, last)), HasSubstr("line 4:"));
    }
  }
}

TEST_F(CsvFile, MayBePacked) {
  const auto path = folder_.path() / "data.csv.gz";
  const gzFile file = gzopen(path.c_str(), "wb");
  gzputs(file, "a,b,label\n1,2.5,0\n3,4,1\n");
  gzclose(file);
  EXPECT_EQ(rows(load_dataset({.name = "csv", .path = path.string(), .csv = {}, .synthetic = {}}, 3)), kTwo);
  const std::string whole = read_text(path);
  write_text(path, whole.substr(0, whole.size() - 9));
  const auto data = load_dataset({.name = "csv", .path = path.string(), .csv = {}, .synthetic = {}}, 3);
  ASSERT_FALSE(data);
  EXPECT_THAT(data.error().message, HasSubstr("its gzip stream ends early"));
}

TEST_F(CsvFile, MayBePackedByZstdInSeveralFrames) {
  const auto packed = [](const std::string& text) {
    std::string bytes(ZSTD_compressBound(text.size()), '\0');
    bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), 3));
    return bytes;
  };
  const auto path = folder_.path() / "data.csv";
  const auto read = [&] {
    return load_dataset({.name = "csv", .path = path.string(), .csv = {}, .synthetic = {}}, 3);
  };
  const std::string whole = packed("a,b,label\n1,2.5,0\n") + packed("3,4,1\n");
  write_text(path, whole);
  EXPECT_EQ(rows(read()), kTwo);
  write_text(path, std::string("\x5e\x2a\x4d\x18\x02\0\0\0xy", 10) + whole);  // a frame that is to be skipped
  EXPECT_EQ(rows(read()), kTwo);
  const std::size_t first = packed("a,b,label\n1,2.5,0\n").size();
  for (std::size_t size = 4; size < whole.size(); ++size) {
    if (size == first) continue;  // a whole file by itself
    write_text(path, whole.substr(0, size));
    const auto data = read();
    ASSERT_FALSE(data) << size;
    EXPECT_THAT(data.error().message, HasSubstr("its zstd stream ends early")) << size;
  }
  std::string damaged = whole;
  damaged[5] = static_cast<char>(damaged[5] ^ 0x7f);
  write_text(path, damaged);
  const auto data = read();
  ASSERT_FALSE(data);
  EXPECT_THAT(data.error().message,
              testing::AnyOf(HasSubstr("damaged zstd file ("), HasSubstr("ends early")));
}

TEST_F(CsvFile, HoldsNumbersAsPeopleWriteThem) {
  const auto data = load("a,b,c,d,e,label\n+0.028,1E-3, 7 ,5.,True,0\n-0,1e3,\" 7\",.5,FALSE,1\n");
  EXPECT_EQ(rows(data), (Rows{{-0.0F, 1000, 7, 0.5, 0, 1}, {0.028F, 0.001F, 7, 5, 1, 0}}));
  EXPECT_EQ(rows(load("a,b,label\n1.2e-60,-1e-400,0\n1.2e-60,1e-50,1\n")), (Rows{{0, 0, 0}, {0, 0, 1}}));
}

TEST_F(CsvFile, TakesLabelsThatAreWholeNumbersAsClasses) {
  const auto data = load("a,label\n1,0\n2,1\n3,1.0\n4,2.0\n5,+2\n6, 0e0\n");
  EXPECT_EQ(rows(data), (Rows{{1, 0}, {2, 1}, {3, 1}, {4, 2}, {5, 2}, {6, 0}}));
  EXPECT_EQ(data->train.class_count, 3);
  EXPECT_THAT(data->class_names, IsEmpty());
  const auto from_one = load("a,label\n1,1\n2,2\n3,3\n");
  EXPECT_EQ(rows(from_one), (Rows{{1, 1}, {2, 2}, {3, 3}}));
  EXPECT_EQ(from_one->train.class_count, 4);
  EXPECT_THAT(from_one->notes, ElementsAre(HasSubstr("no example has one of 1 of the 4 classes")));
  const auto ones = load("a,label\n1,1\n2,2\n3,1\n4,2\n5,1\n6,2\n7,1\n8,2\n");
  EXPECT_EQ(ones->train.class_count, 3);
  EXPECT_THAT(ones->warnings, IsEmpty()) << "labels may count from 1";
  const auto signs = load("a,label\n1,-1\n2,1\n3,-1.0\n");
  EXPECT_EQ(rows(signs), (Rows{{1, 0}, {2, 1}, {3, 0}}));
  EXPECT_THAT(signs->class_names, ElementsAre("-1", "1"));
}

TEST_F(CsvFile, TakesLabelsThatAreNamesAsClassesInTheirOrder) {
  const auto data = load("a,label\n1,dog\n2,cat\n3, \"dog\"\n4,Cow\n");
  EXPECT_EQ(rows(data), (Rows{{1, 2}, {2, 1}, {3, 2}, {4, 0}}));
  EXPECT_THAT(data->class_names, ElementsAre("Cow", "cat", "dog"));
  EXPECT_EQ(data->train.class_count, 3);
  EXPECT_THAT(load("a,label\n1,True\n2,False\n")->class_names, ElementsAre("False", "True"));
  EXPECT_THAT(load("a,damage\n1,None\n2,small\n", {.label_column = "damage"})->class_names,
              ElementsAre("None", "small"));
  EXPECT_EQ(rows(load("a,label\n1,dog\n2,cat\n")), rows(load("a,label\n2,cat\n1,dog\n")));
}

TEST_F(CsvFile, RefusesLabelsThatCannotBeMeant) {
  EXPECT_THAT(
      error("a,label\n1,0\n2,1\n3,9999\n"),
      HasSubstr(
          "data.csv line 4: the label 9999 is far above the number of different labels of the file, 3"));
  EXPECT_THAT(error("a,label\n1,0\n2,1\n3,99999999999\n"),
              HasSubstr("line 4: the label 100000000000 is far"));
  EXPECT_THAT(error("a,label\n1,0\n2,0.5\n"), HasSubstr("line 3: the label 0.5 is not a whole number"));
  EXPECT_THAT(error("a,label\n1,0\n2,1\n3,-1\n"), HasSubstr("line 4: the label -1 is below 0"));
  EXPECT_THAT(error("a,label\n1,0\n2,1\n3,secret\n"), HasSubstr("line 4: the label is text, but 2 of the 3"));
  for (const std::string missing : {"", "NaN", "NA", "null"})
    EXPECT_THAT(error("a,label\n1,0\n2," + missing + "\n"), HasSubstr("line 3: the label is missing"));
  std::string prices = "a,label\n";
  for (int i = 0; i < 50; ++i) prices += fmt::format("1,{}\n", 100 + i);
  EXPECT_THAT(error(prices),
              HasSubstr("its label column has 50 different values in 50 rows; is it the label?"));
}

// Read all the same, since nobody but the owner knows.
TEST_F(CsvFile, TellsLabelsThatAreProbablyNotMeant) {
  const auto digits = [](const std::string& more) {
    std::string text = "a,label\n";
    for (int i = 0; i < 400; ++i) text += fmt::format("{},{}\n", i % 7, i % 10);
    return text + more;
  };
  EXPECT_THAT(load(digits(""))->warnings, IsEmpty());
  const auto stray = load(digits("1,25\n"));
  EXPECT_EQ(stray->train.class_count, 26);
  EXPECT_THAT(stray->warnings,
              testing::IsSupersetOf(
                  {HasSubstr("no example has one of 15 of the 26 classes that its largest label, 25, makes"),
                   HasSubstr("1 of its 11 classes have a single example")}));
  EXPECT_THAT(load(digits("1,10\n"))->warnings, testing::Contains(HasSubstr("have a single example")));
  EXPECT_THAT(load(digits("1,10\n2,10\n"))->warnings, IsEmpty());
}

TEST_F(CsvFile, TellsNamesThatDifferByWhatNobodySees) {
  const auto data = load("a,label\n1,Cat\n2,dog\n3,cat\n4,dog\n");
  EXPECT_EQ(data->train.class_count, 3);
  EXPECT_THAT(data->warnings,
              testing::Contains(
                  HasSubstr("the labels of lines 2 and 4 differ by upper and lower case or spaces alone")));
  EXPECT_THAT(load("a,label\n1,New York\n2,NewYork\n3,New York\n")->warnings,
              testing::Contains(HasSubstr("lines 2 and 3 differ")));
  EXPECT_THAT(load("a,label\n1,cat\n2,cow\n3,cat\n4,cow\n")->warnings, IsEmpty());
}

TEST_F(CsvFile, TellsColumnsOfOneName) {
  const auto twice = load("a,width,b,width,label\n1,2,3,4,0\n5,6,7,8,1\n1,2,3,4,0\n5,6,7,8,1\n");
  EXPECT_EQ(twice->train.feature_count, 4);
  EXPECT_THAT(
      twice->warnings,
      ElementsAre(HasSubstr("its columns 2 and 4 have one name (column \"width\"), and both are features")));
}

TEST_F(CsvFile, RefusesLabelsThatAreAllTheSame) {
  EXPECT_THAT(error("a,label\n1,1\n2,1.0\n3,1\n"),
              HasSubstr("all 3 examples have the same label, so there is "
                        "nothing to learn; check dataset.csv.labelColumn"));
  EXPECT_THAT(error("a,label\n1,x\n2,x\n"), HasSubstr("all 2 examples have the same label"));
}

TEST_F(CsvFile, TakesNoIndexForAFeature) {
  const std::vector<std::pair<std::string, std::string>> writers{
      {"pandas", ",a,b,label\n0,1,2.5,0\n1,3,4,1\n"},
      {"pandas twice", "Unnamed: 0.1,Unnamed: 0,a,b,label\n0,0,1,2.5,0\n1,1,3,4,1\n"},
      {"R, write.csv", "\"\",\"a\",\"b\",\"label\"\n\"Mazda RX4\",1,2.5,0\n\"2\",3,4,1\n"},
      {"R, write.table", "\"a\",\"b\",\"label\"\n\"1\",1,2.5,0\n\"2\",3,4,1\n"}};
  for (const auto& [writer, text] : writers) {
    const auto data = load(text);
    EXPECT_EQ(rows(data), kTwo) << writer;
    EXPECT_THAT(data->notes, ElementsAre(HasSubstr("which have no name, are not features"))) << writer;
  }
  std::string named = "id,a,label\n";
  for (int i = 0; i < 12; ++i) named += fmt::format("{},{},{}\n", i, i % 5, i % 2);
  EXPECT_THAT(load(named)->warnings, ElementsAre(HasSubstr("column \"id\" numbers the rows")));
  EXPECT_THAT(error("a,,label\n1,2.5,0\n3,4,1\n"), HasSubstr("column 2 has a value but no name"));
}

TEST_F(CsvFile, PassesOverEmptyColumnsAndRowsOfASpreadsheet) {
  EXPECT_EQ(rows(load("a,b,label,,\n1,2.5,0,,\n3,4,1,,\n,,,,\n,,,,\n")), kTwo);
  EXPECT_EQ(rows(load("a,b,label\n1,2.5,0,\n3,4,1,\n")), kTwo);
  EXPECT_EQ(rows(load("a,,b,label\n1,,2.5,0\n3,,4,1\n")), kTwo);
}

TEST_F(CsvFile, ThatIsWrongIsToldByLineAndColumn) {
  EXPECT_THAT(error(""), HasSubstr("data.csv: is empty"));
  EXPECT_THAT(error("label\n1\n2\n"), HasSubstr("data.csv: has no feature column"));
  EXPECT_THAT(error("a,label\n"), HasSubstr("data.csv: has 0 row(s)"));
  EXPECT_THAT(error("a,label\n1,0\n1,0,5\n"), HasSubstr(" line 3: has 3 cells, the header has 2"));
  EXPECT_THAT(error("a,label\n1,0\n1\n"), HasSubstr(" line 3: has 1 cells, the header has 2"));
  EXPECT_THAT(error("a,label\n1,0\n1e99,0\n"), HasSubstr(" line 3: column \"a\" is infinite or too large"));
  EXPECT_THAT(error("a,label\n1,0\ninf,0\n"), HasSubstr(" line 3: column \"a\" is infinite or too large"));
  EXPECT_THAT(error("a,label\n1,0\n-1e400,0\n"), HasSubstr(" line 3: column \"a\" is infinite or too large"));
  EXPECT_THAT(error("a,label\n1,0\n,0\n"), HasSubstr(" line 3: column \"a\" is empty; fill it in or remove"));
  for (const std::string missing : {"nan", "NaN", "NA", "null", "?"})
    EXPECT_THAT(error("a,label\n1,0\n" + missing + ",0\n"),
                HasSubstr(" line 3: column \"a\" stands for a missing"));
  for (const std::string text : {"1 2", "2024-01-01", "12%", "0x10", "--1"})
    EXPECT_THAT(error("a,label\n1,0\n" + text + ",1\n"), HasSubstr(" line 3: column \"a\" is text"));
  EXPECT_THAT(error("a,label,label\n1,0,1\n"), HasSubstr("has 2 columns \"label\"; rename all but one"));
  EXPECT_THAT(error("a,label\n1,0\n\"2,1\n3,0\n"), HasSubstr(" line 3: a cell of this row opens a quote"));
  for (const std::string label : {"\"dog\"s", "\"dog\" s", "\"do\"\"g\"s\"", "\"a\nb\"c"})
    EXPECT_THAT(error("a,label\n1,\"cat\"\n1," + label + "\n0,\"cat\"\n2,\"dog\"\n"),
                HasSubstr(" line 3: text stands behind the closing quote of a cell"));
  EXPECT_THAT(error("\"a\"s,label\n1,0\n2,1\n"), HasSubstr(" line 1: text stands behind the closing quote"));
  for (const std::string row : {"1,1,0,1", "1,1,0,dog"})
    EXPECT_THAT(error("a,b,label,\n" + row + "\n0,1,1,0\n"),
                HasSubstr(" line 2: column 4 has a value but no name; name or remove it"));
  EXPECT_THAT(error("a,label\n1,0\n\"2," + std::string(3 << 20, 'x') + "\n4,0\n"),
              HasSubstr(" line 3: a cell of this row opens a quote"));
}

TEST_F(CsvFile, WithoutTheLabelColumnIsToldByCountsAlone) {
  EXPECT_THAT(error("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1\n"),
              HasSubstr("has no column \"label\": its header (line 1) is one cell"));
  const std::string secret = error("user,password,host\nadmin,hunter2,db\n");
  EXPECT_THAT(secret,
              HasSubstr("has no column \"label\" among the 3 of its header (line 1, separated by commas)"));
  for (const std::string word : {"user", "password", "admin", "hunter2"})
    EXPECT_THAT(secret, Not(HasSubstr(word)));
  EXPECT_THAT(error("a,Label\n1,0\n"), HasSubstr("has no column \"label\", but \"Label\""));
  EXPECT_THAT(error("1,0.5,0\n2,3,1\n"), HasSubstr("line 1 holds numbers alone, so the file has no header"));
  std::string wide = "c0";
  for (int i = 1; i < 785; ++i) wide += fmt::format(",c{}", i);
  EXPECT_LT(error(wide + "\n").size(), 300U);
}

TEST_F(CsvFile, IsQuotedInNoMessage) {
  for (const std::string text :
       {"a,label\n1,0\nhunter2,1\n", "a,label\n1,0\n2,1\n3,hunter2\n", "a,label\n1,0\n2,1,hunter2\n",
        "a,,label\n1,hunter2,0\n", "a,label\n\"hunter2,0\n"})
    EXPECT_THAT(error(text), Not(HasSubstr("hunter2")));
  EXPECT_THAT(error("a\xff,label\n\xff\xfe,0\n"), HasSubstr(" line 2: column 1 is text"));
  const std::string name(59, 'x');
  EXPECT_THAT(error(name + "\u00e4\u00e4,label\ny,0\n"), HasSubstr("column \"" + name + "\" is text"));
}

TEST_F(CsvFile, ThatIsNoTextIsToldAsSuch) {
  EXPECT_THAT(error("PK\x03\x04 packed, whatever\n"),
              HasSubstr(": is not a text file (line 1 has control characters)"));
  EXPECT_THAT(error(std::string("\xFF\xFE"
                                "a\0,\0",
                                6)),
              HasSubstr(": is UTF-16 text; save it as UTF-8"));
  EXPECT_THAT(error(std::string("\xFF\xFE\0\0a\0\0\0", 8)), HasSubstr(": is UTF-32 text; save it as UTF-8"));
  EXPECT_THAT(error(std::string("\0\0\xFE\xFF\0\0\0a", 8)), HasSubstr(": is UTF-32 text; save it as UTF-8"));
  EXPECT_THAT(error(std::string("a,label\n1,0\n\0\0\0", 15)), HasSubstr("(line 3 has control characters)"));
}

TEST_F(CsvFile, ThatIsMissingOrAFolderIsTold) {
  const auto code = [](const std::string& path) {
    return load_dataset({.name = "csv", .path = path, .csv = {}, .synthetic = {}}, 0).error().code;
  };
  EXPECT_EQ(code("/nonexistent.csv"), Code::kNotFound);
  EXPECT_EQ(code(folder_.path().string()), Code::kInvalidArgument);
}

// It was waited for, without an end.
TEST_F(CsvFile, ThatIsAPipeIsTold) {
  const std::string pipe = (folder_.path() / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto data = load_dataset({.name = "csv", .path = pipe, .csv = {}, .synthetic = {}}, 0);
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, Code::kInvalidArgument);
  EXPECT_THAT(data.error().message, HasSubstr("pipe: is a pipe, a socket or a device"));
}

TEST_F(CsvFile, HasADigestOfItsContentHoweverItIsWritten) {
  const std::string digest = load("a,b,label\n1,2.5,0\n3,4,1\n")->digest;
  EXPECT_EQ(load("# x\r\na;b;label\r\n1;2,5;0\r\n3;4,0;1\r\n")->digest, digest);
  EXPECT_NE(load("a,b,label\n1,2.5,0\n3,5,1\n")->digest, digest);
  EXPECT_NE(load("a,b,label\n1,2.5,1\n3,4,0\n")->digest, digest);
  EXPECT_NE(load("a,b,label\n3,4,1\n1,2.5,0\n")->digest, digest);
  EXPECT_NE(load("a,b,label\n1,2.5,x\n3,4,y\n")->digest, digest);
}

TEST_F(CsvFile, MayBeLargerThanWhatIsReadAtOnce) {
  std::string text = "a,b,label\n";
  while (text.size() < (5U << 20)) text += "0.123456,\"7\",0\r\n1e-3,  8  ,1\r\n";
  const auto data = load(text);
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(static_cast<std::size_t>(data->train.size() + data->test.size()), (text.size() - 10) / 30 * 2);
  EXPECT_THAT(error(text + "x,1,0\n"),
              HasSubstr(fmt::format("line {}: column \"a\"", (text.size() - 10) / 30 * 2 + 2)));
}

}  // namespace
}  // namespace muster::learning
