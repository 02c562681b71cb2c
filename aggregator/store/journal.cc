// aggregator/store/journal.cc: files, their order, and what becomes of damaged ones
#include "aggregator/store/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <utility>

#include "common/base/check.h"

namespace muster::agg {
namespace {

constexpr std::string_view kBefore = "updates-";
constexpr std::string_view kBehind = ".journal";
constexpr std::string_view kUnfinished = ".new";
constexpr std::string_view kSetAside = ".set-aside-";
constexpr std::uint64_t kNumberMax = 1'000'000'000'000;  // of files: no federation has so many
constexpr std::array<std::byte, kSegmentAlign> kZeros{};

// Whatever its code: what of the file is on the disk is unknown from here on, and no room that comes later
// mends that.
Status durably(DiskFile& file) {
  Status synced = file.sync();
  if (synced || synced.error().code != Code::kResourceExhausted) return synced;
  return internal_error(synced.error().message);
}

std::string name_of(std::uint64_t number) { return fmt::format("{}{:08d}{}", kBefore, number, kBehind); }

// Nothing: it is none of ours.
std::optional<std::uint64_t> number_of(std::string_view name) {
  if (!name.starts_with(kBefore)) return std::nullopt;
  const std::string_view digits = name.substr(kBefore.size());
  std::uint64_t number = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc())
    return std::nullopt;
  if (number == 0 || number > kNumberMax || name_of(number) != name) return std::nullopt;
  return number;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(std::unique_ptr<Disk> disk, JournalOptions options,
                                               std::int64_t committed, Recovered& recovered) {
  std::unique_ptr<Journal> journal(new Journal(std::move(disk), std::move(options)));
  MUSTER_ASSIGN(const std::deque<std::uint64_t> numbers, journal->find_files());
  Recovery recovery(journal->options_.owner, committed);
  std::vector<std::string> notes;
  for (const std::uint64_t number : numbers)
    MUSTER_TRY(journal->read_file(number, number == numbers.back(), recovery, recovered));
  notes = std::move(recovered.notes);
  recovered = recovery.finish();
  recovered.notes.insert(recovered.notes.begin(), notes.begin(), notes.end());
  return journal;
}

// Files are removed oldest first, but which removals a loss of power undoes is the disk's business: what lies
// before a gap was to be removed.
Result<std::deque<std::uint64_t>> Journal::find_files() {
  MUSTER_ASSIGN(const std::vector<std::string> names, disk_->names());
  std::deque<std::uint64_t> numbers;
  for (const std::string& name : names) {
    if (name.starts_with(kBefore) && name.ends_with(kUnfinished)) MUSTER_TRY(disk_->remove(name));
    if (const auto number = number_of(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  std::size_t first = numbers.size();
  while (first > 1 && numbers[first - 2] + 1 == numbers[first - 1]) --first;
  for (std::size_t i = 0; i + 1 < first; ++i) MUSTER_TRY(disk_->remove(name_of(numbers[i])));
  if (first > 1) numbers.erase(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(first - 1));
  return numbers;
}

Status Journal::read_file(std::uint64_t number, bool newest, Recovery& recovery, Recovered& recovered) {
  const std::string name = name_of(number);
  MUSTER_ASSIGN(const std::unique_ptr<DiskFile> file, disk_->open(name));
  MUSTER_ASSIGN(const MappedBytes mapped, file->map());
  SegmentContents contents = read_segment(mapped.bytes);
  const auto damaged = [&](const std::string& what) {
    return data_loss(
        fmt::format("{}/{}: {}. It was damaged after it was written, and holds updates that were "
                    "acknowledged; restore the "
                    "file, or remove the folder {} to have the round under way asked again",
                    options_.place, name, what, options_.place));
  };
  if (!contents.trouble.empty()) {
    if (!newest || !contents.torn || contents.end == 0) return damaged(contents.trouble);
    recovered.notes.push_back(
        fmt::format("{}/{}: {}: the last write was cut short, or damaged since; the file is cut at byte {}, "
                    "and an update "
                    "behind that, which may have been acknowledged, counts only if its client sends it again",
                    options_.place, name, contents.trouble, contents.end));
    MUSTER_TRY(file->cut(contents.end));
  }
  MUSTER_TRY(durably(*file));  // what was written and not acknowledged may be now, by what is read here
  File known{.number = number, .bytes = contents.end, .last_sequence = 0};
  for (PlacedRecord& record : contents.records) {
    const std::uint64_t offset = record.offset;
    if (const auto* update = std::get_if<UpdateKept>(&record.record)) known.last_sequence = update->sequence;
    if (Status added = recovery.add(std::move(record), mapped.holder); !added)
      return damaged(fmt::format("byte {}: {}", offset, added.error().message));
  }
  files_.push_back(known);
  return {};
}

Status Journal::start_file(std::int64_t round, std::uint64_t next_sequence, const Resume& resume) {
  if (file_ != nullptr) MUSTER_TRY(sync());
  const std::uint64_t number = files_.empty() ? 1 : files_.back().number + 1;
  const std::string unfinished = name_of(number) + std::string(kUnfinished);
  const std::vector<std::byte> head = segment_head(options_.salt);
  const Frame frame = frame_of(
      JournalStart{.owner = options_.owner, .round = round, .next_sequence = next_sequence, .resume = resume},
      0, options_.salt, 0);
  const std::array<std::span<const std::byte>, 2> parts{head, frame.head};
  MUSTER_ASSIGN(std::unique_ptr<DiskFile> file, disk_->create(unfinished));
  Status written = file->append(parts);
  if (written) written = durably(*file);
  if (written) written = disk_->rename(unfinished, name_of(number));
  if (!written) {
    std::ignore = disk_->remove(unfinished);  // a file too many does no harm
    return written;
  }
  file_ = std::move(file);
  durable_ = file_->size();
  torn_ = false;
  files_.push_back({.number = number, .bytes = durable_, .last_sequence = 0});
  return {};
}

// Oldest first: what is left by a kill is still a journal, and of the same owner.
Result<std::string> Journal::set_aside() {
  MUSTER_CHECK(file_ == nullptr);
  MUSTER_ASSIGN(const std::vector<std::string> names, disk_->names());
  const auto taken = [&](const std::string& ending) {
    return std::any_of(names.begin(), names.end(), [&](const auto& name) { return name.ends_with(ending); });
  };
  int number = 1;
  while (taken(fmt::format("{}{}", kSetAside, number))) ++number;
  std::string ending = fmt::format("{}{}", kSetAside, number);
  for (; !files_.empty(); files_.pop_front()) {
    const std::string name = name_of(files_.front().number);
    MUSTER_TRY(disk_->rename(name, name + ending));
  }
  return ending;
}

bool Journal::wants_file() const { return file_ != nullptr && files_.back().bytes >= options_.file_bytes; }

// What a write that failed has left must go before anything is written behind it.
Status Journal::repair() {
  if (!torn_) return {};
  MUSTER_TRY(file_->cut(files_.back().bytes));
  torn_ = false;
  return {};
}

Status Journal::append(const JournalRecord& record, std::span<const float> values, bool beyond) {
  MUSTER_CHECK(file_ != nullptr);
  const auto payload = std::as_bytes(values);
  const Frame frame = frame_of(record, payload.size(), options_.salt, durable_);
  const std::uint64_t size = frame.head.size() + payload.size() + frame.padding;
  if (!beyond && !values.empty() && bytes() + size > options_.bytes_max)
    return resource_exhausted(
        fmt::format("the journal in {} has {} bytes and may have {}: it waits for a round to be saved",
                    options_.place, bytes(), options_.bytes_max));
  MUSTER_TRY(repair());
  const std::array<std::span<const std::byte>, 3> parts{frame.head, payload,
                                                        std::span(kZeros).first(frame.padding)};
  if (Status written = file_->append(parts); !written) {
    torn_ = true;
    std::ignore = repair();  // else before the next one
    return written;
  }
  files_.back().bytes += size;
  if (const auto* update = std::get_if<UpdateKept>(&record)) files_.back().last_sequence = update->sequence;
  return {};
}

Status Journal::sync() {
  MUSTER_CHECK(file_ != nullptr);
  if (durable_ == files_.back().bytes) return {};
  MUSTER_TRY(durably(*file_));
  durable_ = files_.back().bytes;
  return {};
}

void Journal::release(std::uint64_t settled) {
  while (!files_.empty() && (file_ == nullptr || files_.size() > 1) &&
         files_.front().last_sequence <= settled) {
    if (!disk_->remove(name_of(files_.front().number))) return;  // another time
    files_.pop_front();
  }
}

void Journal::clear() {
  file_.reset();
  release(~std::uint64_t{0});
}

std::uint64_t Journal::bytes() const {
  return std::accumulate(files_.begin(), files_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const File& file) { return sum + file.bytes; });
}

}  // namespace muster::agg
