// tests/aggregator/journal_test.cc: files of a journal: torn ends, damage, other owners, a full disk
#include "aggregator/store/journal.h"

#include <gtest/gtest.h>

#include "aggregator/store/posix_disk.h"
#include "learning/sha256.h"
#include "tests/support/fake_disk.h"
#include "tests/support/temporary_folder.h"

namespace muster::agg {
namespace {

constexpr std::size_t kP = 100;

class JournalTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Journal>> open(std::int64_t committed = 0, const std::string& uid = "u",
                                        std::uint64_t bytes_max = ~std::uint64_t{0}) {
    recovered_ = {};
    return Journal::open(std::make_unique<FakeDisk>(image_),
                         {.owner = {.uid = uid, .fingerprint = "f", .clients = 9, .parameters = kP},
                          .place = "/x/journal",
                          .bytes_max = bytes_max,
                          .file_bytes = 0,
                          .salt = 42},
                         committed, recovered_);
  }
  std::unique_ptr<Journal> started(std::int64_t committed = 0, std::uint64_t bytes_max = ~std::uint64_t{0}) {
    auto journal = open(committed, "u", bytes_max);
    EXPECT_TRUE(journal) << (journal ? "" : journal.error().message);
    EXPECT_TRUE((*journal)->start_file(committed, recovered_.next_sequence, recovered_.resume));
    return std::move(*journal);
  }
  static std::vector<float> values(std::uint64_t sequence) {
    return std::vector<float>(kP, static_cast<float>(sequence));
  }
  static UpdateKept update(std::uint64_t sequence) {
    return {.sequence = sequence,
            .id = "task" + std::to_string(sequence),
            .client = 1,
            .number = 1,
            .copies = 2,
            .examples = 30,
            .weight = 0.5,
            .steps = 4,
            .partial = true,
            .sha256 = learning::sha256_hex(std::as_bytes(std::span<const float>(values(sequence))))};
  }
  static Status keep(Journal& journal, std::uint64_t sequence) {
    return journal.append(update(sequence), values(sequence));
  }
  DiskImage::File& only_file() { return *image_.files.begin()->second; }

  DiskImage image_;
  Recovered recovered_;
};

TEST_F(JournalTest, GivesBackWhatWasKeptInItsOrder) {
  {
    const auto journal = started();
    ASSERT_TRUE(journal->append(TasksGiven{{{.id = "task1", .client = 1, .number = 1, .cycle = 1}}}));
    ASSERT_TRUE(keep(*journal, 1));
    ASSERT_TRUE(keep(*journal, 2));
    ASSERT_TRUE(journal->sync());
  }
  ASSERT_TRUE(open());
  ASSERT_EQ(recovered_.tail.size(), 2U);
  EXPECT_EQ(recovered_.tail[1].update.id, "task2");
  EXPECT_EQ(recovered_.tail[1].update.copies, 2);
  EXPECT_EQ(recovered_.tail[1].update.weight, 0.5);
  EXPECT_EQ(recovered_.tail[1].update.steps, 4);
  EXPECT_TRUE(recovered_.tail[1].update.partial);
  EXPECT_EQ(std::vector<float>(recovered_.tail[1].values.begin(), recovered_.tail[1].values.end()),
            values(2));
  EXPECT_EQ(recovered_.next_sequence, 3U);
  ASSERT_EQ(recovered_.resume.tasks.size(), 1U);
  EXPECT_EQ(recovered_.resume.tasks[0].fate, TaskFate::kArrived);
  EXPECT_TRUE(recovered_.notes.empty());
}

TEST_F(JournalTest, ATornEndIsCutOffAndToldOf) {
  {
    const auto journal = started();
    ASSERT_TRUE(keep(*journal, 1));
    ASSERT_TRUE(journal->sync());
    ASSERT_TRUE(keep(*journal, 2));
  }
  only_file().bytes.resize(only_file().bytes.size() - 70);
  ASSERT_TRUE(open());
  EXPECT_EQ(recovered_.tail.size(), 1U);
  ASSERT_EQ(recovered_.notes.size(), 1U);
  EXPECT_NE(recovered_.notes[0].find("updates-00000001.journal: byte "), std::string::npos);
  EXPECT_NE(recovered_.notes[0].find("cut short"), std::string::npos) << recovered_.notes[0];
  ASSERT_TRUE(open());
  EXPECT_TRUE(recovered_.notes.empty()) << "once";
}

// Each byte of a record that was acknowledged, with another behind it that was written later.
TEST_F(JournalTest, DamageToWhatWasAcknowledgedIsAnErrorAndNeverALoss) {
  std::size_t before = 0;
  {
    const auto journal = started();
    before = only_file().bytes.size();
    ASSERT_TRUE(keep(*journal, 1));
    ASSERT_TRUE(journal->sync());
    ASSERT_TRUE(keep(*journal, 2));
    ASSERT_TRUE(journal->sync());
  }
  const std::vector<std::byte> whole = only_file().bytes;
  const std::size_t record = (whole.size() - before) / 2;
  for (std::size_t at = 0; at < before + record; ++at) {
    only_file().bytes[at] ^= std::byte{0x10};
    const auto journal = open();
    if (journal) {
      EXPECT_EQ(recovered_.tail.size(), 2U) << "a loss that nobody is told of, by byte " << at;
    } else {
      EXPECT_EQ(journal.error().code, Code::kDataLoss);
      EXPECT_NE(journal.error().message.find("/x/journal/updates-00000001.journal: byte "),
                std::string::npos);
      EXPECT_NE(journal.error().message.find("remove the folder /x/journal"), std::string::npos);
    }
    only_file().bytes = whole;
  }
}

TEST_F(JournalTest, AFileThatIsMissingInTheMiddleTakesWhatWasBeforeWithIt) {
  const auto journal = started();
  ASSERT_TRUE(keep(*journal, 1));
  ASSERT_TRUE(journal->append(RoundClosed{.round = 1, .cycle = 1, .settled = 1, .taken = {{1, "task1"}}}));
  ASSERT_TRUE(journal->start_file(1, 2, {}));
  ASSERT_TRUE(keep(*journal, 2));
  ASSERT_TRUE(journal->append(RoundClosed{.round = 2, .cycle = 2, .settled = 2, .taken = {{2, "task2"}}}));
  ASSERT_TRUE(journal->start_file(2, 3, {}));
  ASSERT_TRUE(keep(*journal, 3));
  ASSERT_TRUE(journal->sync());
  image_.files.erase("updates-00000002.journal");  // removed for good; the removal of the first was not
  ASSERT_TRUE(open(2));
  ASSERT_EQ(recovered_.tail.size(), 1U) << "those of the first file are in a saved model";
  EXPECT_EQ(recovered_.tail[0].update.sequence, 3U);
}

TEST_F(JournalTest, OfAnotherObjectOrBehindTheCheckpointItIsNotUsedAndSaysSo) {
  {
    const auto journal = started();
    ASSERT_TRUE(keep(*journal, 1));
    ASSERT_TRUE(journal->append(RoundClosed{.round = 1, .cycle = 1, .settled = 1, .taken = {{1, "task1"}}}));
    ASSERT_TRUE(journal->start_file(1, 2, {}));
    journal->release(1);
  }
  ASSERT_TRUE(open(0, "another"));
  EXPECT_TRUE(recovered_.useless);
  EXPECT_NE(recovered_.notes[0].find("another object"), std::string::npos) << recovered_.notes[0];
  ASSERT_TRUE(open(0));
  EXPECT_TRUE(recovered_.useless) << "the checkpoint of round 1 is gone";
  EXPECT_NE(recovered_.notes[0].find("begins behind round 1"), std::string::npos) << recovered_.notes[0];
  const auto journal = open(0, "another");  // it begins its own, and goes on with that
  ASSERT_TRUE((*journal)->start_file(0, 1, {}));
  ASSERT_TRUE(keep(**journal, 1));
  (*journal)->release(recovered_.settled());
  EXPECT_EQ(image_.files.size(), 1U);
  ASSERT_TRUE(open(0, "another"));
  EXPECT_EQ(recovered_.tail.size(), 1U);
}

TEST_F(JournalTest, TheSequenceOfAnotherObjectIsNotGoneOnWith) {
  {
    const auto journal = open(0, "another");
    ASSERT_TRUE((*journal)->start_file(0, 100, {}));
  }
  {
    const auto journal = open();  // killed before it set the other's aside
    ASSERT_TRUE((*journal)->start_file(0, recovered_.next_sequence, {}));
    ASSERT_TRUE(keep(**journal, recovered_.next_sequence));
    ASSERT_TRUE((*journal)->sync());
  }
  const auto journal = open();
  ASSERT_TRUE(journal) << journal.error().message;
  EXPECT_EQ(recovered_.tail.size(), 1U);
}

TEST_F(JournalTest, FilesThatAreNoneOfItsOwnAreLeftAlone) {
  {
    const auto journal = started();
    ASSERT_TRUE(keep(*journal, 1));
    ASSERT_TRUE(journal->sync());
  }
  for (const char* const name :
       {"updates-2.journal", "updates-00000000.journal", "updates-0000000x.journal",
        "updates-18446744073709551615.journal", "updates-00000009.journal.set-aside-1"})
    image_.files[name] = std::make_shared<DiskImage::File>();
  const auto journal = open();
  ASSERT_TRUE(journal) << journal.error().message;
  EXPECT_EQ(recovered_.tail.size(), 1U);
  EXPECT_EQ(image_.files.size(), 6U);
}

TEST_F(JournalTest, AFullDiskKeepsNothingOfARecordAndGoesOnWhenThereIsRoom) {
  const auto journal = started();
  ASSERT_TRUE(keep(*journal, 1));
  for (std::uint64_t room = 0; room < 400; room += 13) {
    image_.capacity = image_.used() + room;
    const Status kept = keep(*journal, 2);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, Code::kResourceExhausted);
  }
  image_.capacity = ~std::uint64_t{0};
  ASSERT_TRUE(keep(*journal, 3));
  ASSERT_TRUE(journal->sync());
  ASSERT_TRUE(open());
  ASSERT_EQ(recovered_.tail.size(), 2U);
  EXPECT_EQ(recovered_.tail[1].update.sequence, 3U);
  EXPECT_TRUE(recovered_.notes.empty());
}

TEST_F(JournalTest, TakesNoMoreDiskThanItMayAndGetsItBackWithEachSavedRound) {
  const auto journal = started(0, 2000);
  ASSERT_TRUE(keep(*journal, 1));
  ASSERT_TRUE(keep(*journal, 2));
  const Status full = keep(*journal, 3);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::kResourceExhausted);
  EXPECT_NE(full.error().message.find("waits for a round to be saved"), std::string::npos);
  EXPECT_TRUE(journal->append(update(3), values(3), true)) << "that the round may close";
  ASSERT_TRUE(journal->append(RoundClosed{.round = 1, .cycle = 1, .settled = 3, .taken = {{1, "task1"}}}));
  ASSERT_TRUE(journal->start_file(1, 4, {}));
  journal->release(3);
  EXPECT_LT(journal->bytes(), 500U);
  EXPECT_TRUE(keep(*journal, 4));
}

TEST_F(JournalTest, ASyncThatFailsIsAnErrorAndNotTriedAgainAsIfNothingWere) {
  const auto journal = started();
  ASSERT_TRUE(keep(*journal, 1));
  image_.syncs_fail = true;
  EXPECT_FALSE(journal->sync());
}

// fdatasync of a full disk: the kernel drops what it could not write, and later syncs do not miss it.
TEST_F(JournalTest, ASyncForWhichThereIsNoRoomIsNoFullDiskThatMayHaveRoomLater) {
  const auto journal = started();
  ASSERT_TRUE(keep(*journal, 1));
  image_.syncs_fail = true;
  image_.sync_failure = Code::kResourceExhausted;
  const Status synced = journal->sync();
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code, Code::kInternal);
  const Status started_anew = journal->start_file(0, 2, {});
  ASSERT_FALSE(started_anew);
  EXPECT_EQ(started_anew.error().code, Code::kInternal);
}

TEST(PosixDisk, IsHeldByOneAndKeepsWhatIsWritten) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3};
  {
    auto disk = open_posix_disk(folder.path() / "made/on/demand");
    ASSERT_TRUE(disk) << disk.error().message;
    const auto second = open_posix_disk(folder.path() / "made/on/demand", std::chrono::milliseconds(0));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kUnavailable);
    EXPECT_NE(second.error().message.find("another aggregator"), std::string::npos);
    auto file = (*disk)->create("a.new");
    ASSERT_TRUE(file) << file.error().message;
    const auto bytes = std::as_bytes(std::span<const float>(values));
    ASSERT_TRUE((*file)->append(std::vector{bytes, bytes}));
    ASSERT_TRUE((*file)->cut(bytes.size() + 4));
    ASSERT_TRUE((*file)->append(std::vector{bytes}));
    ASSERT_TRUE((*file)->sync());
    ASSERT_TRUE((*disk)->rename("a.new", "a"));
    EXPECT_GT(*(*disk)->room(), 0U);
  }
  auto disk = open_posix_disk(folder.path() / "made/on/demand");
  EXPECT_EQ(*(*disk)->names(), std::vector<std::string>{"a"});
  auto file = (*disk)->open("a");
  ASSERT_TRUE(file) << file.error().message;
  const auto mapped = (*file)->map();
  ASSERT_TRUE((*disk)->remove("a"));
  ASSERT_EQ(mapped->bytes.size(), 2 * values.size() * sizeof(float) + 4);
  EXPECT_EQ(std::memcmp(mapped->bytes.data() + 16, values.data(), 12), 0) << "also of a file that is gone";
  EXPECT_TRUE((*disk)->names()->empty());
}

}  // namespace
}  // namespace muster::agg
