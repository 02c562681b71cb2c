// local/runtime/container_log.cc: the writer of a container's log
#include "local/runtime/container_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "common/base/rfc3339.h"

namespace muster::local {
namespace {

constexpr std::size_t kLineBytes = 16 * 1024;  // a longer line is written in parts, as container runtimes do
constexpr std::size_t kRecordHead = 33;        // time, space, F or P, space

}  // namespace

ContainerLog::ContainerLog(std::filesystem::path prefix, std::size_t file_bytes)
    : prefix_(std::move(prefix)), file_bytes_(file_bytes) {
  open_next();
}

std::filesystem::path ContainerLog::file(std::uint64_t index) const {
  return prefix_.string() + fmt::format(".{}", index);
}

void ContainerLog::open_next() {
  if (fd_.valid()) {
    ++position_.newest;
    if (position_.newest > position_.oldest + 1) {
      ::unlink(file(position_.oldest).c_str());
      ++position_.oldest;
    }
  }
  fd_ = FileDescriptor(
      ::open(file(position_.newest).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  written_ = 0;
}

void ContainerLog::take_lines(std::string_view bytes, WallTime now, std::string& out) {
  const std::string time = rfc3339_nano(now);
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::size_t room = kLineBytes - partial_.size();
    if (newline != std::string_view::npos && newline <= room) {
      out.append(time).append(" F ").append(partial_).append(bytes.substr(0, newline)).append("\n");
      partial_.clear();
      bytes.remove_prefix(newline + 1);
    } else if (bytes.size() >= room) {
      out.append(time).append(" P ").append(partial_).append(bytes.substr(0, room)).append("\n");
      partial_.clear();
      bytes.remove_prefix(room);
    } else {
      partial_.append(bytes);
      return;
    }
  }
}

// A full disk costs log lines, never the container.
void ContainerLog::write(const std::string& records) {
  if (!fd_.valid()) return;
  std::size_t done = 0;
  while (done < records.size()) {
    const ssize_t wrote = ::write(fd_.get(), records.data() + done, records.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    done += static_cast<std::size_t>(wrote);
  }
  written_ += done;
}

void ContainerLog::append(std::string_view bytes, WallTime now) {
  std::string records;
  {
    const MutexLock lock(mutex_);
    take_lines(bytes, now, records);
    if (records.empty()) return;
    if (written_ > 0 && written_ + records.size() > file_bytes_) open_next();
    write(records);
    ++position_.appends;
  }
  changed_.notify_all();
}

void ContainerLog::end(WallTime now) {
  {
    const MutexLock lock(mutex_);
    if (!partial_.empty())
      write(rfc3339_nano(now) + " P " + partial_ + "\n");  // as written: without a newline
    partial_.clear();
    position_.ended = true;
    ++position_.appends;
  }
  changed_.notify_all();
}

ContainerLog::Position ContainerLog::position() const {
  const MutexLock lock(mutex_);
  return position_;
}

ContainerLog::Position ContainerLog::wait(std::uint64_t appends, std::chrono::milliseconds wait) const {
  MutexLock lock(mutex_);
  changed_.wait_for(lock, wait,
                    [&]() MUSTER_REQUIRES(mutex_) { return position_.appends > appends || position_.ended; });
  return position_;
}

std::string ContainerLog::tail(std::size_t max_bytes, std::size_t max_lines) const {
  const Position now = position();
  std::string content;
  for (std::uint64_t index = now.oldest; index <= now.newest; ++index) {
    std::ifstream in(file(index), std::ios::binary | std::ios::ate);
    if (!in) continue;
    // Enough for max_bytes even if every line is short.
    const auto size = static_cast<std::size_t>(in.tellg());
    const std::size_t wanted = std::min(size, (max_bytes + max_lines) * 2 + max_lines * kRecordHead);
    in.seekg(static_cast<std::streamoff>(size - wanted));
    std::string part(wanted, '\0');
    in.read(part.data(), static_cast<std::streamsize>(wanted));
    if (wanted < size) part.erase(0, part.find('\n') + 1);
    content += part;
  }
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    if (end - at >= kRecordHead) {
      const bool whole = content[at + kRecordHead - 2] == 'F';
      lines.push_back(content.substr(at + kRecordHead, end - at - kRecordHead) + (whole ? "\n" : ""));
    }
    at = end + 1;
  }
  std::string out;
  const std::size_t first = lines.size() > max_lines ? lines.size() - max_lines : 0;
  for (std::size_t i = first; i < lines.size(); ++i) out += lines[i];
  if (out.size() > max_bytes) out.erase(0, out.size() - max_bytes);
  return out;
}

}  // namespace muster::local
