#pragma once  // tests/support/fake_disk.h: a disk in memory that tears writes, forgets what is not synced, is
              // full or damaged; a crash at each of its boundaries
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aggregator/store/disk.h"
#include "common/base/random.h"

namespace muster {

// What a FakeDisk outlives: the process that used it.
class DiskImage {
 public:
  struct Crash {};  // thrown: the process is gone

  struct Write {
    std::uint64_t at = 0;
    std::vector<std::byte> bytes;
  };
  struct File {
    std::vector<std::byte> bytes;  // as the process reads them
    std::vector<std::byte> durable;
    std::vector<Write> writes;  // since the last sync
    bool cut = false;           // since the last sync
  };

  // Each call of the disk that changes something has two boundaries, before and after; a write has a third,
  // in its middle. The crash comes at number `boundary`, counted from 1; 0: never.
  void crash_at(std::uint64_t boundary) {
    crash_at_ = boundary;
    boundaries_ = 0;
  }
  [[nodiscard]] std::uint64_t boundaries() const { return boundaries_; }
  void boundary() {
    if (++boundaries_ == crash_at_) throw Crash();
  }

  // After a kill the files are as the process left them.
  // After a loss of power: each write since the last sync is there, or not, or a part of it; what lies
  // between is zeros.
  void lose_power(Random& random) {
    for (auto& [name, file] : files) {
      if (!file->cut || random.below(2) == 0) {
        std::vector<std::byte> bytes = file->durable;
        for (const Write& write : file->writes) {
          const std::uint64_t fate = random.below(3);
          const std::size_t kept = fate == 0   ? 0
                                   : fate == 1 ? write.bytes.size()
                                               : random.below(write.bytes.size() + 1);
          if (kept == 0) continue;
          bytes.resize(std::max<std::size_t>(bytes.size(), write.at + kept));
          std::memcpy(bytes.data() + write.at, write.bytes.data(), kept);
        }
        file->bytes = std::move(bytes);
      }
      file->durable = file->bytes;
      file->writes.clear();
      file->cut = false;
    }
    for (auto& [name, file] : removed)  // a removal may be undone
      if (random.below(2) == 0) files.emplace(name, file);
    removed.clear();
  }

  std::map<std::string, std::shared_ptr<File>> files;
  std::map<std::string, std::shared_ptr<File>> removed;  // not durably
  std::uint64_t capacity = ~std::uint64_t{0};            // bytes
  bool syncs_fail = false;
  Code sync_failure = Code::kInternal;

  [[nodiscard]] std::uint64_t used() const {
    std::uint64_t used = 0;
    for (const auto& [name, file] : files) used += file->bytes.size();
    return used;
  }

 private:
  std::uint64_t crash_at_ = 0;
  std::uint64_t boundaries_ = 0;
};

class FakeDisk final : public agg::Disk {
 public:
  explicit FakeDisk(DiskImage& image) : image_(image) {}

  Result<std::vector<std::string>> names() override {
    std::vector<std::string> names;
    for (const auto& [name, file] : image_.files) names.push_back(name);
    return names;
  }
  Result<std::unique_ptr<agg::DiskFile>> create(const std::string& name) override {
    image_.boundary();
    image_.files[name] = std::make_shared<DiskImage::File>();
    image_.boundary();
    return open(name);
  }
  Result<std::unique_ptr<agg::DiskFile>> open(const std::string& name) override {
    const auto it = image_.files.find(name);
    if (it == image_.files.end()) return not_found(name);
    return std::unique_ptr<agg::DiskFile>(std::make_unique<FakeFile>(image_, it->second));
  }
  Status rename(const std::string& from, const std::string& to) override {
    image_.boundary();
    image_.files[to] = image_.files.at(from);
    image_.files.erase(from);
    image_.removed.clear();  // the folder is synced
    image_.boundary();
    return {};
  }
  Status remove(const std::string& name) override {
    image_.boundary();
    if (const auto it = image_.files.find(name); it != image_.files.end()) {
      image_.removed[name] = it->second;
      image_.files.erase(it);
    }
    image_.boundary();
    return {};
  }
  Result<std::uint64_t> room() override { return image_.capacity - image_.used(); }

 private:
  class FakeFile final : public agg::DiskFile {
   public:
    FakeFile(DiskImage& image, std::shared_ptr<DiskImage::File> file)
        : image_(image), file_(std::move(file)) {}
    Status append(std::span<const std::span<const std::byte>> parts) override {
      image_.boundary();
      for (const auto part : parts) {
        const std::size_t room = image_.capacity - image_.used();
        const std::size_t half = part.size() / 2;
        put(part.first(std::min(half, room)));
        if (half > 0) image_.boundary();
        put(part.subspan(std::min(half, room), std::min(part.size(), room) - std::min(half, room)));
        if (room < part.size()) return resource_exhausted("the fake disk is full");
      }
      image_.boundary();
      return {};
    }
    Status cut(std::uint64_t bytes) override {
      image_.boundary();
      file_->bytes.resize(bytes);
      file_->cut = true;
      std::erase_if(file_->writes, [&](const auto& write) { return write.at >= bytes; });
      image_.boundary();
      return {};
    }
    Status sync() override {
      image_.boundary();
      if (image_.syncs_fail) return Error{image_.sync_failure, "the fake disk does not sync"};
      file_->durable = file_->bytes;
      file_->writes.clear();
      file_->cut = false;
      image_.boundary();
      return {};
    }
    Result<agg::MappedBytes> map() const override {
      auto copy = std::make_shared<std::vector<std::byte>>(file_->bytes);
      return agg::MappedBytes{.holder = copy, .bytes = *copy};
    }
    std::uint64_t size() const override { return file_->bytes.size(); }

   private:
    void put(std::span<const std::byte> bytes) {
      if (bytes.empty()) return;
      file_->writes.push_back({file_->bytes.size(), {bytes.begin(), bytes.end()}});
      file_->bytes.insert(file_->bytes.end(), bytes.begin(), bytes.end());
    }
    DiskImage& image_;
    std::shared_ptr<DiskImage::File> file_;
  };

  DiskImage& image_;
};

}  // namespace muster
