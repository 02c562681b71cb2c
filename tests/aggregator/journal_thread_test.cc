// tests/aggregator/journal_thread_test.cc: group commit, and a disk that is full, slow or broken
#include "aggregator/shell/journal_thread.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "learning/sha256.h"
#include "tests/support/slow_disk.h"

namespace muster::agg {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kP = 50;

class JournalThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    auto journal = open();
    ASSERT_TRUE(journal) << journal.error().message;
    ASSERT_TRUE((*journal)->start_file(0, 1, {}));
    thread_ = std::make_unique<JournalThread>(std::move(*journal), metrics_);
  }
  Result<std::unique_ptr<Journal>> open() {
    return Journal::open(
        std::make_unique<SlowFakeDisk>(image_, slow_),
        {.owner = {.uid = "u", .fingerprint = "f", .clients = 9, .parameters = kP}, .place = "j", .salt = 3},
        0, recovered_);
  }
  void keep(std::uint64_t sequence, bool beyond = false) {
    const std::string sha256 = learning::sha256_hex(std::as_bytes(std::span<const float>(values_)));
    thread_->keep({.sequence = sequence,
                   .id = "t" + std::to_string(sequence),
                   .client = 1,
                   .number = 1,
                   .examples = 1,
                   .sha256 = sha256},
                  values_, beyond, [this, sequence](const Status& kept) {
                    const std::scoped_lock lock(mutex_);
                    answers_.emplace_back(sequence, kept ? Code::kOk : kept.error().code);
                    changed_.notify_all();
                  });
  }
  using Answers = std::vector<std::pair<std::uint64_t, Code>>;
  Answers answers(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 20s, [&] { return answers_.size() >= count; }));
    return std::exchange(answers_, {});
  }
  std::vector<std::uint64_t> tail() {
    thread_.reset();
    EXPECT_TRUE(open());
    std::vector<std::uint64_t> sequences;
    for (const PendingUpdate& pending : recovered_.tail) sequences.push_back(pending.update.sequence);
    return sequences;
  }

  DiskImage image_;
  SlowDisk slow_;
  Recovered recovered_;
  AggregatorMetrics metrics_;
  const std::vector<float> values_ = std::vector<float>(kP, 1.5F);
  std::mutex mutex_;
  std::condition_variable changed_;
  Answers answers_;
  std::unique_ptr<JournalThread> thread_;
};

TEST_F(JournalThreadTest, OneSyncServesAllThatWait) {
  const int before = slow_.syncs();
  slow_.hold();
  keep(1);
  slow_.wait_for_sync(before + 1);
  for (std::uint64_t sequence = 2; sequence <= 64; ++sequence) keep(sequence);
  {
    const std::scoped_lock lock(mutex_);
    EXPECT_TRUE(answers_.empty()) << "nothing is acknowledged before it is durable";
  }
  slow_.let_go();
  const Answers all = answers(64);
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i], (std::pair<std::uint64_t, Code>(i + 1, Code::kOk)));
  EXPECT_EQ(slow_.syncs(), before + 2);
}

TEST_F(JournalThreadTest, AFullDiskSendsUpdatesBackAndNoUpdateGoesBeforeANote) {
  keep(1);
  answers(1);
  image_.capacity = image_.used() + 10;
  thread_->note(TaskOver{"t9", TaskFate::kRefused});
  keep(2);
  EXPECT_EQ(answers(1)[0].second, Code::kResourceExhausted);
  EXPECT_TRUE(thread_->full());
  EXPECT_TRUE(thread_->sync(1)) << "the checkpoint of a round goes by that round's end alone";
  EXPECT_NE(thread_->full_text().find("the fake disk is full"), std::string::npos) << thread_->full_text();
  thread_->close({.round = 2, .cycle = 1, .settled = 0, .taken = {}}, 2, [] { return Resume{}; });
  EXPECT_TRUE(thread_->sync(1));
  EXPECT_FALSE(thread_->sync(2)) << "its end is not durable";
  thread_->note(TaskOver{"t8", TaskFate::kRefused});
  image_.capacity = ~std::uint64_t{0};
  keep(3);
  EXPECT_EQ(answers(1)[0].second, Code::kOk);
  EXPECT_FALSE(thread_->full());
  EXPECT_TRUE(thread_->sync(1));
  EXPECT_EQ(tail(), (std::vector<std::uint64_t>{1, 3}));
}

TEST_F(JournalThreadTest, AfterASyncThatFailedNothingIsAcknowledgedAnyMore) {
  image_.sync_failure = Code::kResourceExhausted;  // also that of a full disk
  image_.syncs_fail = true;
  keep(1);
  EXPECT_EQ(answers(1)[0].second, Code::kInternal);
  image_.syncs_fail = false;
  keep(2);
  EXPECT_EQ(answers(1)[0].second, Code::kInternal) << "what the first one left on the disk is unknown";
  EXPECT_FALSE(thread_->sync(1));
}

TEST_F(JournalThreadTest, AfterASyncThatFailedBeforeACheckpointNothingIsAcknowledgedAnyMore) {
  image_.sync_failure = Code::kResourceExhausted;
  image_.syncs_fail = true;
  thread_->note(TaskOver{"t9", TaskFate::kRefused});
  EXPECT_FALSE(thread_->sync(1));
  image_.syncs_fail = false;
  EXPECT_FALSE(thread_->sync(1));
  keep(1);
  EXPECT_EQ(answers(1)[0].second, Code::kInternal);
}

TEST_F(JournalThreadTest, WhatIsBoundedSaysSoAndNotThatTheDiskIsFull) {
  thread_.reset();
  auto journal = Journal::open(std::make_unique<SlowFakeDisk>(image_, slow_),
                               {.owner = {.uid = "u", .fingerprint = "f", .clients = 9, .parameters = kP},
                                .place = "j",
                                .bytes_max = 1,
                                .salt = 3},
                               0, recovered_);
  ASSERT_TRUE((*journal)->start_file(0, 1, {}));
  thread_ = std::make_unique<JournalThread>(std::move(*journal), metrics_);
  keep(1);
  EXPECT_EQ(answers(1)[0].second, Code::kResourceExhausted);
  EXPECT_NE(thread_->full_text().find("waits for a round to be saved"), std::string::npos);
  keep(2, true);
  EXPECT_EQ(answers(1)[0].second, Code::kOk) << "without it no round would close";
}

TEST_F(JournalThreadTest, WhoAsksAfterTheEndIsNotKeptWaiting) {
  thread_->stop();
  const Status synced = thread_->sync(1);
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code, Code::kAborted);
}

TEST_F(JournalThreadTest, ASavedRoundGivesItsDiskBackOnceItsFileIsFollowedByAnother) {
  thread_.reset();
  auto journal = Journal::open(std::make_unique<SlowFakeDisk>(image_, slow_),
                               {.owner = {.uid = "u", .fingerprint = "f", .clients = 9, .parameters = kP},
                                .place = "j",
                                .file_bytes = 0,
                                .salt = 3},
                               0, recovered_);
  ASSERT_TRUE((*journal)->start_file(0, 1, {}));
  thread_ = std::make_unique<JournalThread>(std::move(*journal), metrics_);
  keep(1);
  answers(1);
  thread_->close({.round = 1, .cycle = 1, .settled = 1, .taken = {{1, "t1"}}}, 2, [] { return Resume{}; });
  ASSERT_TRUE(thread_->sync(1));
  EXPECT_GE(image_.files.size(), 2U) << "its model is not saved yet";
  thread_->saved(1);
  ASSERT_TRUE(thread_->sync(1));
  ASSERT_TRUE(thread_->sync(1)) << "of the turn behind";
  EXPECT_EQ(image_.files.size(), 1U);
}

}  // namespace
}  // namespace muster::agg
