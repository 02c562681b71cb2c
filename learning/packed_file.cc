// learning/packed_file.cc: zlib's gzFile, which reads plain files as they are
#include "learning/packed_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "learning/atomic_file.h"

namespace muster::learning {
namespace {

constexpr std::size_t kReadAtOnce = std::size_t{1} << 30;  // gzread counts in int
constexpr unsigned kBufferBytes = 1U << 18;

}  // namespace

void PackedFile::Close::operator()(gzFile_s* file) const { gzclose(file); }

PackedFile::PackedFile(std::filesystem::path path, std::string remedy, std::unique_ptr<gzFile_s, Close> file)
    : path_(std::move(path)), remedy_(std::move(remedy)), file_(std::move(file)) {}

Result<PackedFile> PackedFile::open(const std::filesystem::path& path, std::string remedy) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
    return invalid_argument(
        fmt::format("{}: is a pipe, a socket or a device, which may never end; name a file", path.string()));
  errno = 0;
  std::unique_ptr<gzFile_s, Close> file(gzopen(path.c_str(), "rbe"));
  if (!file) return file_error("read", path, errno != 0 ? errno : ENOMEM);
  gzbuffer(file.get(), kBufferBytes);
  return PackedFile(path, std::move(remedy), std::move(file));
}

Result<std::size_t> PackedFile::read(std::span<std::uint8_t> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto step = static_cast<unsigned>(std::min(bytes.size() - done, kReadAtOnce));
    const int got = gzread(file_.get(), bytes.data() + done, step);
    if (got < 0) {
      int code = Z_OK;
      const char* const reason = gzerror(file_.get(), &code);
      if (code == Z_BUF_ERROR) break;  // the gzip stream ends early
      if (code == Z_ERRNO) return file_error("read", path_, errno);
      return data_loss(fmt::format("{}: damaged gzip file ({}); {}", path_.string(), reason, remedy_));
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

bool PackedFile::ends_early() const {
  int code = Z_OK;
  gzerror(file_.get(), &code);
  return code == Z_BUF_ERROR;
}

}  // namespace muster::learning
