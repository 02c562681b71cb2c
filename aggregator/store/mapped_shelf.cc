// aggregator/store/mapped_shelf.cc: writes are calls, so that a full disk is an error and no signal
#include "aggregator/store/mapped_shelf.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "learning/atomic_file.h"

namespace muster::agg {

Status MappedShelf::open() {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return learning::file_error("create the folder", folder_, error.value());
  MUSTER_TRY(check_room());
  file_ = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file_ >= 0) return {};
  // Some file systems (NFS, FUSE) have no files without a name.
  std::string name = (folder_ / "updates-XXXXXX").string();
  file_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) return learning::file_error("keep updates in", folder_, errno);
  ::unlink(name.c_str());
  return {};
}

// A round that runs out of disk at its last update has cost all others for nothing.
Status MappedShelf::check_room() const {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder_, error);
  const std::uintmax_t due = std::uintmax_t{updates_max_} * parameters_ * sizeof(float);
  if (error || space.available >= due) return {};
  return resource_exhausted(fmt::format(
      "spec.aggregator.storage: the updates of a round take {} bytes in {}, where {} are free; give it "
      "a larger volume, or lower spec.cohort.size",
      due, folder_.string(), space.available));
}

Status MappedShelf::add(std::span<const float> values) {
  MUSTER_CHECK(values.size() == parameters_);
  unmap();
  if (file_ < 0) {
    Status opened = open();
    // Of Strategy::take, which calls this, an invalid argument is the client's.
    if (!opened && opened.error().code == Code::kInvalidArgument)
      return internal_error(opened.error().message);
    MUSTER_TRY(opened);
  }
  const auto bytes = std::as_bytes(values);
  const std::size_t begin = count_ * bytes.size();
  for (std::size_t done = 0; done < bytes.size();) {
    const auto part = bytes.subspan(done);
    const ssize_t written = ::pwrite(file_, part.data(), part.size(), static_cast<off_t>(begin + done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      return learning::file_error("write an update to", folder_, written < 0 ? errno : ENOSPC, part.size());
    done += static_cast<std::size_t>(written);
  }
  ++count_;
  return {};
}

Result<std::span<const float>> MappedShelf::all() {
  const std::size_t values = count_ * parameters_;
  if (values == 0) return std::span<const float>();
  if (mapping_ == nullptr) {
    // A full volume of a network tells so here; behind a mapping it would be a signal.
    if (::fdatasync(file_) != 0) return learning::file_error("write the updates to", folder_, errno);
    const std::size_t bytes = values * sizeof(float);
    void* const mapping = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file_, 0);
    if (mapping == MAP_FAILED) return learning::file_error("map the updates in", folder_, errno);
    mapping_ = mapping;
    mapped_bytes_ = bytes;
  }
  return std::span(static_cast<const float*>(mapping_), values);
}

void MappedShelf::unmap() {
  if (mapping_ != nullptr) ::munmap(std::exchange(mapping_, nullptr), mapped_bytes_);
}

void MappedShelf::clear() {
  unmap();
  if (file_ >= 0) ::close(std::exchange(file_, -1));
  count_ = 0;
}

}  // namespace muster::agg
