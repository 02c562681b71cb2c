// tests/worker/program_parts_test.cc: what a program tells of its gradient before it is whole
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/worker/fake_program.h"
#include "tests/worker/mesh_support.h"
#include "worker/program/muster_worker.h"

namespace muster::program::test {
namespace {

using std::chrono::seconds;
using worker::test::soon;

// What is told of a gradient is heard before it is whole, and only while one is asked for.
TEST(ProgramLink, PartsOfAGradientAreHeardWhileItIsComputed) {
  const SocketFolder folder;
  auto link = listen(folder);
  const ProgramThread thread([&folder] {
    FakeProgram program(folder.socket());
    program.register_model(kModel, 100);
    for (const std::int64_t wanted : {5, 0}) {
      const auto batch = program.hear();
      ASSERT_EQ(batch->kind, Kind::kBatch);
      EXPECT_EQ(read_batch(*batch).tell_from, wanted);
      const std::vector<Range> told{{.first = 4, .size = 3}, {.first = 0, .size = 2}};
      program.tell({.kind = Kind::kBuckets}, std::as_bytes(std::span(told)));
      if (wanted > 0) {
        ASSERT_EQ(program.hear()->kind, Kind::kTakeState);  // by who has heard it
      }
      program.tell({.kind = Kind::kGradient});
    }
    const std::vector<Range> beyond{{.first = 6, .size = 2}};
    program.tell({.kind = Kind::kBuckets}, std::as_bytes(std::span(beyond)));
    static_cast<void>(program.hear());
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  std::vector<std::pair<std::size_t, std::size_t>> heard;
  const std::vector<std::int64_t> rows{1};
  ASSERT_TRUE(link->gradient_of(
      rows,
      [&](std::size_t first, std::size_t size) {
        heard.emplace_back(first, size);
        if (heard.size() == 2) {
          EXPECT_TRUE(link->take({}));
        }
      },
      5));
  EXPECT_EQ(heard, (std::vector<std::pair<std::size_t, std::size_t>>{{4, 3}, {0, 2}}));
  ASSERT_TRUE(link->gradient_of(rows)) << "what nobody wanted to know changes nothing";
  const auto lied = link->gradient_of(
      rows, [](std::size_t, std::size_t) {}, 5);
  ASSERT_FALSE(lied);
  EXPECT_NE(lied.error().message.find("elements of its gradient that its model does not have"),
            std::string::npos)
      << lied.error().message;
  link.reset();
}

// A frame is for as many elements as fill a bucket; a tensor is told once, and only of a batch.
TEST(MusterWorkerAbi, TellsOfFinalTensorsTogether) {
  const SocketFolder folder;
  auto link = listen(folder);
  ::setenv("MUSTER_SOCKET", folder.socket().c_str(), 1);
  const ProgramThread thread([] {
    muster_job* job = muster_open();
    for (const std::int64_t size : {2, 3, 4, 5})
      ASSERT_EQ(muster_register_tensor(job, ("t" + std::to_string(size)).c_str(), 1, &size), 0);
    ASSERT_EQ(muster_allocate(job), 0);
    muster_training training{};
    training.size = sizeof training;
    training.examples = 10;
    ASSERT_EQ(muster_begin(job, &training), 0);
    EXPECT_EQ(muster_bucket_ready(job, 0, 1), -1) << "there is no batch";
    muster_event event{};
    event.size = sizeof event;
    for (const int wanted : {1, 0}) {
      ASSERT_EQ(muster_next(job, -1, &event), 0);
      ASSERT_EQ(event.kind, MUSTER_BATCH);
      EXPECT_EQ(event.wants_buckets, wanted);
      EXPECT_EQ(muster_bucket_ready(job, 3, 2), -1);
      EXPECT_EQ(muster_bucket_ready(job, -1, 1), -1);
      EXPECT_EQ(muster_bucket_ready(job, 3, 1), 0);
      EXPECT_EQ(muster_bucket_ready(job, 3, 1), -1);
      EXPECT_NE(std::string(muster_last_error(job)).find("tensor 3 was told already"), std::string::npos);
      EXPECT_EQ(muster_bucket_ready(job, 0, 1), 0);
      EXPECT_EQ(muster_bucket_ready(job, 1, 2), 0);
      ASSERT_EQ(muster_gradient_ready(job, 0, 0), 0);
    }
    ASSERT_EQ(muster_next(job, -1, &event), 0);
    muster_close(job);
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  std::vector<std::pair<std::size_t, std::size_t>> heard;
  const auto hear = [&](std::size_t first, std::size_t size) { heard.emplace_back(first, size); };
  const std::vector<std::int64_t> rows{1};
  // The last ones may be whole, and not be heard, when the gradient is.
  ASSERT_TRUE(link->gradient_of(rows, hear, 5));
  const std::vector<std::pair<std::size_t, std::size_t>> all{{9, 5}, {0, 2}, {2, 7}};
  ASSERT_LE(heard.size(), all.size());
  EXPECT_TRUE(std::ranges::equal(heard, std::span(all).first(heard.size())));
  heard.clear();
  ASSERT_TRUE(link->gradient_of(rows));
  EXPECT_TRUE(heard.empty());
  link->end(0, "", seconds(5));
}

}  // namespace
}  // namespace muster::program::test
