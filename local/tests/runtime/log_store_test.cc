// local/tests/runtime/log_store_test.cc: logs by tail, time, limit, previous run, across rotation, followed
#include "local/runtime/log_store.h"

#include <gtest/gtest.h>

#include <thread>

#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LogStoreTest : public testing::Test {
 protected:
  std::string read(LogQuery query) {
    query.uid = "u";
    query.container = "c";
    query.pod = "p";
    auto stream = logs_.open(query);
    if (!stream) return stream.error().message;
    std::string out;
    for (auto bytes = (*stream)->read(milliseconds(100)); bytes && *bytes;
         bytes = (*stream)->read(milliseconds(100)))
      out += **bytes;
    return out;
  }
  static WallTime at(int second) { return WallTime() + seconds(1'800'000'000 + second); }

  TemporaryFolder folder_;
  LogStore logs_{folder_.path(), 4096};
};

TEST_F(LogStoreTest, AnswersTailLimitAndTimestamps) {
  auto log = logs_.begin("u", "c");
  for (int i = 1; i <= 5; ++i) log->append("line " + std::to_string(i) + "\n", at(i));
  EXPECT_EQ(read({}), "line 1\nline 2\nline 3\nline 4\nline 5\n");
  LogQuery tail;
  tail.tail_lines = 2;
  EXPECT_EQ(read(tail), "line 4\nline 5\n");
  tail.tail_lines = 0;
  EXPECT_EQ(read(tail), "");
  LogQuery limit;
  limit.limit_bytes = 12;
  EXPECT_EQ(read(limit), "line 1\nline ");
  LogQuery stamps;
  stamps.timestamps = true;
  stamps.tail_lines = 1;
  EXPECT_EQ(read(stamps), "2027-01-15T08:00:05.000000000Z line 5\n");
  LogQuery since;
  since.since_time = "2027-01-15T08:00:04Z";
  EXPECT_EQ(read(since), "line 4\nline 5\n");
  since.since_time = "soon";
  EXPECT_EQ(read(since), "sinceTime: 'soon' is not a time; write 2026-01-02T03:04:05Z");
}

TEST_F(LogStoreTest, JoinsPartsOfLines) {
  auto log = logs_.begin("u", "c");
  log->append("a", at(1));
  EXPECT_EQ(read({}), "") << "a line shows once it is whole";
  log->append("b\nlast", at(2));
  log->end(at(3));
  EXPECT_EQ(read({}), "ab\nlast");
  const std::string longer(40'000, 'x');
  log = logs_.begin("u", "c");
  log->append(longer + "\nend\n", at(4));
  EXPECT_EQ(read({}), longer + "\nend\n");
  LogQuery tail;
  tail.tail_lines = 1;
  EXPECT_EQ(read(tail), "end\n");
}

TEST_F(LogStoreTest, KeepsThePreviousRunAndNoMore) {
  LogQuery previous;
  previous.previous = true;
  logs_.begin("u", "c")->append("one\n", at(1));
  EXPECT_EQ(read(previous), "previous terminated container \"c\" in pod \"p\" not found");
  logs_.begin("u", "c")->append("two\n", at(2));
  EXPECT_EQ(read(previous), "one\n");
  logs_.begin("u", "c")->append("three\n", at(3));
  EXPECT_EQ(read(previous), "two\n");
  EXPECT_EQ(read({}), "three\n");
  const auto files = std::distance(std::filesystem::directory_iterator(folder_.path() / "u" / "c"), {});
  EXPECT_EQ(files, 2);
  logs_.forget("u");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "u"));
}

TEST_F(LogStoreTest, RotatesAndReadsAcrossFiles) {
  auto log = logs_.begin("u", "c");
  for (int i = 0; i < 300; ++i) log->append("line " + std::to_string(i) + "\n", at(i));
  EXPECT_LE(std::distance(std::filesystem::directory_iterator(folder_.path() / "u" / "c"), {}), 2);
  const std::string all = read({});
  EXPECT_TRUE(all.ends_with("line 298\nline 299\n"));
  EXPECT_GT(std::count(all.begin(), all.end(), '\n'), 90) << "more than one file is readable";
  LogQuery tail;
  tail.tail_lines = 3;
  EXPECT_EQ(read(tail), "line 297\nline 298\nline 299\n");
  EXPECT_EQ(log->tail(1000, 2), "line 298\nline 299\n");
}

TEST_F(LogStoreTest, FollowsAcrossRotationUntilTheEnd) {
  auto log = logs_.begin("u", "c");
  LogQuery query;
  query.uid = "u";
  query.container = "c";
  query.follow = true;
  auto stream = logs_.open(query);
  ASSERT_TRUE(stream);
  std::string expected;
  std::string got;
  for (int i = 0; i < 400; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    expected += line;
    log->append(line, at(i));
    got += (*stream)->read(seconds(5)).value().value();
  }
  std::thread writer([&] { log->end(at(1000)); });
  EXPECT_EQ((*stream)->read(seconds(10)).value(), std::nullopt);
  writer.join();
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace muster::local
