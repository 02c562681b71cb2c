#pragma once  // aggregator/store/journal.h: updates on disk before they are acknowledged, until their model
              // is saved
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "aggregator/store/disk.h"
#include "aggregator/store/journal_records.h"
#include "aggregator/store/recovery.h"
#include "common/base/result.h"

namespace muster::agg {

struct JournalOptions {
  JournalOwner owner;
  std::string place;                                  // for messages: the folder
  std::uint64_t bytes_max = ~std::uint64_t{0};        // of disk; more updates are sent back
  std::uint64_t file_bytes = std::uint64_t{1} << 20;  // a file that has so many is followed by a new one
  std::uint64_t salt = 0;                             // random, not to be guessed
};

// What an aggregator that is killed at any instant needs to go on with the same bits: the journal fixes which
// updates count, and in which order. It is written in files behind each other ("updates-00000007.journal");
// each begins with what is known of tasks, so that those before can be removed as soon as no update in them
// is needed any more. Decision: docs/adr/0020-the-journal.md.
//
// One thread at a time. Memory: the records, not the values, which are written from where they lie.
class Journal {
 public:
  // Reads what an earlier process left, for a federation that resumes from round `committed`. A torn end of
  // the last file is cut off, and noted. Nothing can be appended before start_file(). Errors: kDataLoss: what
  // was acknowledged is damaged; the message names file, byte and remedy. Others as disks have them.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(std::unique_ptr<Disk> disk,
                                                             JournalOptions options, std::int64_t committed,
                                                             Recovered& recovered);

  // A new file, durable when it returns, as is all before it. Errors: kResourceExhausted: nothing has
  // changed. Others: the journal is of no use any more.
  [[nodiscard]] Status start_file(std::int64_t round, std::uint64_t next_sequence, const Resume& resume);
  [[nodiscard]] bool wants_file() const;  // the present one is large enough

  // Errors: kResourceExhausted: the disk is full, or bytes_max is reached; nothing of it is kept, and it may
  // be tried again. Others: the journal is of no use any more.
  // `beyond`: bytes_max does not hold for it.
  [[nodiscard]] Status append(const JournalRecord& record, std::span<const float> values = {},
                              bool beyond = false);
  // What was appended is durable. Errors, never kResourceExhausted: what is durable is unknown, and the
  // journal of no use any more.
  [[nodiscard]] Status sync();
  // Instead of start_file, or before it: what was read stays beside it by other names, which end in what is
  // returned. Errors: as disks have them; some may have their new names.
  [[nodiscard]] Result<std::string> set_aside();
  // Removes the files whose updates are all up to `settled`, but for the present one.
  void release(std::uint64_t settled);
  void clear();  // removes all: the federation is over
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct File {
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;
    std::uint64_t last_sequence = 0;  // of its updates; 0: it has none
  };

  Journal(std::unique_ptr<Disk> disk, JournalOptions options)
      : disk_(std::move(disk)), options_(std::move(options)) {}
  [[nodiscard]] Result<std::deque<std::uint64_t>> find_files();
  [[nodiscard]] Status read_file(std::uint64_t number, bool newest, Recovery& recovery, Recovered& recovered);
  [[nodiscard]] Status repair();

  const std::unique_ptr<Disk> disk_;
  const JournalOptions options_;
  std::deque<File> files_;  // the present one last
  std::unique_ptr<DiskFile> file_;
  std::uint64_t durable_ = 0;  // bytes of file_
  bool torn_ = false;          // behind files_.back().bytes there may be a part of a record
};

}  // namespace muster::agg
