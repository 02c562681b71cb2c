// aggregator/store/posix_disk.cc: appends are calls, so that a full disk is an error and no signal
#include "aggregator/store/posix_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "common/platform/file_descriptor.h"
#include "learning/atomic_file.h"

namespace muster::agg {
namespace {

namespace fs = std::filesystem;
using learning::file_error;

constexpr std::chrono::milliseconds kLockPoll{20};
constexpr std::size_t kLargestWrite = std::size_t{1} << 30;  // Linux writes at most 2 GiB - 4 KiB a call

// Of a sync: no room that comes later mends it.
Error final_error(Error error) {
  if (error.code == Code::kResourceExhausted) error.code = Code::kInternal;
  return error;
}

class PosixFile final : public DiskFile {
 public:
  PosixFile(fs::path path, FileDescriptor file, std::uint64_t size)
      : path_(std::move(path)), file_(std::move(file)), size_(size) {}

  Status append(std::span<const std::span<const std::byte>> parts) override {
    for (auto part : parts) {
      while (!part.empty()) {
        const std::size_t most = std::min(part.size(), kLargestWrite);
        const ssize_t written = ::pwrite(file_.get(), part.data(), most, static_cast<off_t>(size_));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return file_error("write", path_, written < 0 ? errno : ENOSPC, part.size());
        size_ += static_cast<std::uint64_t>(written);
        part = part.subspan(static_cast<std::size_t>(written));
      }
    }
    return {};
  }
  Status cut(std::uint64_t bytes) override {
    if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) return file_error("cut", path_, errno);
    size_ = bytes;
    return {};
  }
  Status sync() override {
    if (::fdatasync(file_.get()) != 0) return final_error(file_error("sync", path_, errno));
    return {};
  }
  Result<MappedBytes> map() const override {
    if (size_ == 0) return MappedBytes{};
    void* const mapping = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_.get(), 0);
    if (mapping == MAP_FAILED) return file_error("map", path_, errno);
    return MappedBytes{
        .holder = std::shared_ptr<const void>(
            mapping, [size = size_](const void* begin) { ::munmap(const_cast<void*>(begin), size); }),
        .bytes = {static_cast<const std::byte*>(mapping), size_}};
  }
  std::uint64_t size() const override { return size_; }

 private:
  fs::path path_;
  FileDescriptor file_;
  std::uint64_t size_;
};

class PosixDisk final : public Disk {
 public:
  PosixDisk(fs::path folder, FileDescriptor descriptor)
      : folder_(std::move(folder)), descriptor_(std::move(descriptor)) {}

  Result<std::vector<std::string>> names() override {
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error))
      names.push_back(it->path().filename().string());
    if (error) return file_error("list", folder_, error.value());
    return names;
  }
  Result<std::unique_ptr<DiskFile>> create(const std::string& name) override {
    return file(name, O_CREAT | O_TRUNC);
  }
  Result<std::unique_ptr<DiskFile>> open(const std::string& name) override { return file(name, 0); }
  Status rename(const std::string& from, const std::string& to) override {
    if (::rename((folder_ / from).c_str(), (folder_ / to).c_str()) != 0)
      return file_error("rename", folder_ / from, errno);
    // EINVAL: a file system that has no fsync of folders (some FUSE ones).
    if (::fsync(descriptor_.get()) != 0 && errno != EINVAL)
      return final_error(file_error("sync", folder_, errno));
    return {};
  }
  Status remove(const std::string& name) override {
    if (::unlink((folder_ / name).c_str()) != 0 && errno != ENOENT)
      return file_error("remove", folder_ / name, errno);
    return {};
  }
  Result<std::uint64_t> room() override {
    std::error_code error;
    const fs::space_info space = fs::space(folder_, error);
    if (error) return file_error("ask for the room in", folder_, error.value());
    return space.available;
  }

 private:
  Result<std::unique_ptr<DiskFile>> file(const std::string& name, int flags) {
    const fs::path path = folder_ / name;
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
    if (!file.valid()) return file_error("open", path, errno);
    struct stat seen {};
    if (::fstat(file.get(), &seen) != 0) return file_error("open", path, errno);
    return std::unique_ptr<DiskFile>(
        std::make_unique<PosixFile>(path, std::move(file), static_cast<std::uint64_t>(seen.st_size)));
  }

  fs::path folder_;
  FileDescriptor descriptor_;
};

}  // namespace

Result<std::unique_ptr<Disk>> open_posix_disk(fs::path folder, std::chrono::milliseconds lock_wait) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return file_error("create the folder", folder, error.value());
  FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!descriptor.valid()) return file_error("open the folder", folder, errno);
  const auto until = std::chrono::steady_clock::now() + lock_wait;
  // A file system without locks is no reason to keep nothing.
  while (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    if (std::chrono::steady_clock::now() >= until)
      return unavailable(fmt::format(
          "{} is held by another aggregator; see why the former pod of the federation has not ended",
          folder.string()));
    std::this_thread::sleep_for(kLockPoll);
  }
  return std::unique_ptr<Disk>(std::make_unique<PosixDisk>(std::move(folder), std::move(descriptor)));
}

}  // namespace muster::agg
