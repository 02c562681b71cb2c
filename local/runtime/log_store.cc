// local/runtime/log_store.cc: reading container logs: tail, since, previous, timestamps, follow
#include "local/runtime/log_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>

#include "common/base/rfc3339.h"
#include "common/platform/file_descriptor.h"

namespace muster::local {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kTimeBytes = 30;
constexpr std::size_t kHeadBytes = kTimeBytes + 3;  // " F "

// Reads the records of a log from its oldest file on, across rotations.
class RecordReader {
 public:
  // Opens the oldest file at once: it stays readable when its pod goes.
  explicit RecordReader(std::shared_ptr<ContainerLog> log) : log_(std::move(log)) { (void)fill(); }
  ~RecordReader() { fd_.reset(); }
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  // The next record without its newline, if one is there now.
  std::optional<std::string_view> next() {
    while (true) {
      const std::size_t newline = buffer_.find('\n', at_);
      if (newline != std::string::npos) {
        const std::string_view record(buffer_.data() + at_, newline - at_);
        at_ = newline + 1;
        return record;
      }
      if (!fill()) return std::nullopt;
    }
  }

 private:
  bool fill() {
    buffer_.erase(0, at_);
    at_ = 0;
    while (true) {
      const ContainerLog::Position position = log_->position();
      if (!fd_.valid()) {
        if (opened_ && index_ + 1 > position.newest) return false;
        index_ = opened_ ? std::max(index_ + 1, position.oldest) : position.oldest;
        fd_ = FileDescriptor(::open(log_->file(index_).c_str(), O_RDONLY | O_CLOEXEC));
        opened_ = true;
        if (!fd_.valid() && index_ >= position.newest) return false;
        if (!fd_.valid()) continue;  // rotated away meanwhile
      }
      std::array<char, kReadBytes> bytes;
      const ssize_t got = ::read(fd_.get(), bytes.data(), bytes.size());
      if (got > 0) {
        buffer_.append(bytes.data(), static_cast<std::size_t>(got));
        return true;
      }
      if (index_ >= position.newest) return false;  // the file that is being written: more may come
      fd_.reset();
    }
  }

  std::shared_ptr<ContainerLog> log_;
  std::uint64_t index_ = 0;
  bool opened_ = false;
  FileDescriptor fd_;
  std::string buffer_;
  std::size_t at_ = 0;
};

class FileLogStream : public LogStream {
 public:
  FileLogStream(std::shared_ptr<ContainerLog> log, const LogQuery& query, std::string since)
      : log_(log),
        reader_(std::move(log)),
        since_(std::move(since)),
        follow_(query.follow),
        timestamps_(query.timestamps),
        bytes_left_(query.limit_bytes) {
    if (query.tail_lines)
      skip_to_tail(static_cast<std::size_t>(std::max<std::int64_t>(*query.tail_lines, 0)));
  }

  Result<std::optional<std::string>> read(std::chrono::milliseconds wait) override {
    if (bytes_left_ && *bytes_left_ <= 0) return std::optional<std::string>();
    // Taken before reading: what is appended in between is read now or wakes the next wait.
    ContainerLog::Position before = log_->position();
    std::string out = take();
    if (out.empty() && follow_ && !before.ended) {
      before = log_->wait(before.appends, wait);
      out = take();
    }
    if (out.empty()) {
      if (!follow_ || (before.ended && log_->position().appends == before.appends))
        return std::optional<std::string>();
      return std::optional(std::string());
    }
    if (bytes_left_) {
      out.resize(std::min(out.size(), static_cast<std::size_t>(*bytes_left_)));
      *bytes_left_ -= static_cast<std::int64_t>(out.size());
    }
    return std::optional(std::move(out));
  }

 private:
  std::string take() {
    std::string out;
    while (out.size() < kReadBytes / 2) {
      const std::optional<std::string_view> record = reader_.next();
      if (!record) break;
      add(*record, out);
    }
    return out;
  }

  void add(std::string_view record, std::string& out) {
    if (record.size() < kHeadBytes || record.substr(0, kTimeBytes) < since_) return;
    if (skip_lines_ > 0) {
      skip_lines_ -= record[kTimeBytes + 1] == 'F' ? 1 : 0;
      return;
    }
    const bool whole = record[kTimeBytes + 1] == 'F';
    if (timestamps_ && at_line_start_) out.append(record.substr(0, kTimeBytes)).append(" ");
    out.append(record.substr(kHeadBytes));
    if (whole) out.append("\n");
    at_line_start_ = whole;
  }

  // Counts the lines that are there now, so that all but the last `lines` of them are skipped.
  void skip_to_tail(std::size_t lines) {
    RecordReader counter(log_);
    std::size_t total = 0;
    bool open_line = false;
    while (const auto record = counter.next()) {
      if (record->size() < kHeadBytes || record->substr(0, kTimeBytes) < since_) continue;
      open_line = (*record)[kTimeBytes + 1] != 'F';
      if (!open_line) ++total;
    }
    const std::size_t wanted = lines > 0 && open_line ? lines - 1 : lines;
    skip_lines_ = total > wanted ? total - wanted : 0;
  }

  std::shared_ptr<ContainerLog> log_;
  RecordReader reader_;
  const std::string since_;
  const bool follow_;
  const bool timestamps_;
  std::optional<std::int64_t> bytes_left_;
  std::size_t skip_lines_ = 0;
  bool at_line_start_ = true;
};

Result<std::string> since_of(const LogQuery& query) {
  if (query.since_time) {
    const auto time = parse_rfc3339(*query.since_time);
    if (!time) {
      return invalid_argument(
          fmt::format("sinceTime: '{}' is not a time; write 2026-01-02T03:04:05Z", *query.since_time));
    }
    return rfc3339_nano(*time);
  }
  if (!query.since_seconds) return std::string();
  constexpr std::int64_t kLongest = 100LL * 365 * 24 * 3600;
  const std::chrono::seconds ago(std::clamp<std::int64_t>(*query.since_seconds, 0, kLongest));
  const WallTime now = std::chrono::system_clock::now();
  return ago > now.time_since_epoch() ? std::string() : rfc3339_nano(now - ago);
}

}  // namespace

LogStore::LogStore(std::filesystem::path folder, std::size_t file_bytes)
    : folder_(std::move(folder)), file_bytes_(file_bytes) {}

std::shared_ptr<ContainerLog> LogStore::begin(const std::string& pod_uid, const std::string& container) {
  const MutexLock lock(mutex_);
  Runs& runs = pods_[pod_uid][container];
  const std::filesystem::path folder = folder_ / pod_uid / container;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (runs.previous) {
    const ContainerLog::Position old = runs.previous->position();
    for (std::uint64_t i = old.oldest; i <= old.newest; ++i)
      std::filesystem::remove(runs.previous->file(i), error);
  }
  runs.previous = std::move(runs.current);
  runs.current = std::make_shared<ContainerLog>(folder / std::to_string(runs.count++), file_bytes_);
  return runs.current;
}

void LogStore::forget(const std::string& pod_uid) {
  const MutexLock lock(mutex_);
  const auto found = pods_.find(pod_uid);
  if (found == pods_.end()) return;
  for (auto& [name, runs] : found->second) {
    if (runs.current) runs.current->end(std::chrono::system_clock::now());
  }
  pods_.erase(found);
  std::error_code error;
  std::filesystem::remove_all(folder_ / pod_uid, error);
}

Result<std::unique_ptr<LogStream>> LogStore::open(const LogQuery& query) {
  MUSTER_ASSIGN(std::string since, since_of(query));
  std::shared_ptr<ContainerLog> log;
  {
    const MutexLock lock(mutex_);
    const auto pod = pods_.find(query.uid);
    if (pod != pods_.end()) {
      const auto container = pod->second.find(query.container);
      if (container != pod->second.end())
        log = query.previous ? container->second.previous : container->second.current;
    }
  }
  if (!log) {
    return not_found(fmt::format("{}container \"{}\" in pod \"{}\" not found",
                                 query.previous ? "previous terminated " : "the log of ", query.container,
                                 query.pod));
  }
  return std::unique_ptr<LogStream>(std::make_unique<FileLogStream>(std::move(log), query, std::move(since)));
}

}  // namespace muster::local
