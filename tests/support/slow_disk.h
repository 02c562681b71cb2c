#pragma once  // tests/support/slow_disk.h: a disk in memory whose syncs take as long as a test wants
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_disk.h"

namespace muster {

// A disk whose syncs wait until they are let go, and are counted.
class SlowDisk {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++syncs_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void hold() {
    const std::scoped_lock lock(mutex_);
    open_ = false;
  }
  void let_go() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait_for_sync(int number) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return syncs_ >= number; }));
  }
  [[nodiscard]] int syncs() {
    const std::scoped_lock lock(mutex_);
    return syncs_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int syncs_ = 0;
  bool open_ = true;
};

class SlowFile final : public agg::DiskFile {
 public:
  SlowFile(std::unique_ptr<agg::DiskFile> file, SlowDisk& slow) : file_(std::move(file)), slow_(slow) {}
  Status append(std::span<const std::span<const std::byte>> parts) override { return file_->append(parts); }
  Status cut(std::uint64_t bytes) override { return file_->cut(bytes); }
  Status sync() override {
    slow_.pass();
    return file_->sync();
  }
  Result<agg::MappedBytes> map() const override { return file_->map(); }
  std::uint64_t size() const override { return file_->size(); }

 private:
  std::unique_ptr<agg::DiskFile> file_;
  SlowDisk& slow_;
};

class SlowFakeDisk final : public agg::Disk {
 public:
  SlowFakeDisk(DiskImage& image, SlowDisk& slow) : disk_(image), slow_(slow) {}
  Result<std::vector<std::string>> names() override { return disk_.names(); }
  Result<std::unique_ptr<agg::DiskFile>> create(const std::string& name) override {
    MUSTER_ASSIGN(auto file, disk_.create(name));
    return std::unique_ptr<agg::DiskFile>(std::make_unique<SlowFile>(std::move(file), slow_));
  }
  Result<std::unique_ptr<agg::DiskFile>> open(const std::string& name) override { return disk_.open(name); }
  Status rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  Status remove(const std::string& name) override { return disk_.remove(name); }
  Result<std::uint64_t> room() override { return disk_.room(); }

 private:
  FakeDisk disk_;
  SlowDisk& slow_;
};

}  // namespace muster
