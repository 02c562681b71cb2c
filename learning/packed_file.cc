// learning/packed_file.cc: which packing a file has; zlib's gzFile, which reads plain files as they are
#include "learning/packed_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include "learning/atomic_file.h"

namespace muster::learning {
namespace {

constexpr std::size_t kReadAtOnce = std::size_t{1} << 30;  // gzread counts in int
constexpr unsigned kBufferBytes = 1U << 18;
constexpr std::array<char, 4> kZstdMagic{'\x28', '\xb5', '\x2f', '\xfd'};  // RFC 8878

class GzipStream final : public PackedFile::Stream {
 public:
  [[nodiscard]] static Result<std::unique_ptr<PackedFile::Stream>> open(const std::filesystem::path& path) {
    errno = 0;
    const gzFile file = gzopen(path.c_str(), "rbe");
    if (file == nullptr) return file_error("read", path, errno != 0 ? errno : ENOMEM);
    gzbuffer(file, kBufferBytes);
    return std::unique_ptr<PackedFile::Stream>(new GzipStream(path, file));
  }

  Result<std::size_t> read(std::span<std::uint8_t> bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const auto step = static_cast<unsigned>(std::min(bytes.size() - done, kReadAtOnce));
      const int got = gzread(file_.get(), bytes.data() + done, step);
      if (got < 0) {
        int code = Z_OK;
        const char* const reason = gzerror(file_.get(), &code);
        if (code == Z_BUF_ERROR) break;  // the stream ends early
        if (code == Z_ERRNO) return file_error("read", path_, errno);
        return data_loss(reason);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }
  [[nodiscard]] bool ends_early() const override {
    int code = Z_OK;
    gzerror(file_.get(), &code);
    return code == Z_BUF_ERROR;
  }
  [[nodiscard]] std::string_view packing() const override { return "gzip"; }

 private:
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };
  GzipStream(std::filesystem::path path, gzFile file) : path_(std::move(path)), file_(file) {}

  std::filesystem::path path_;
  std::unique_ptr<gzFile_s, Close> file_;
};

bool begins_as_zstd(const std::filesystem::path& path) {
  std::array<char, 4> magic{};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(magic.data(), magic.size())) return false;
  const bool skippable =
      (magic[0] & '\xf0') == '\x50' && magic[1] == '\x2a' && magic[2] == '\x4d' && magic[3] == '\x18';
  return magic == kZstdMagic || skippable;
}

}  // namespace

PackedFile::PackedFile(std::filesystem::path path, std::string remedy, std::unique_ptr<Stream> stream)
    : path_(std::move(path)), remedy_(std::move(remedy)), stream_(std::move(stream)) {}

Result<PackedFile> PackedFile::open(const std::filesystem::path& path, std::string remedy) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
    return invalid_argument(
        fmt::format("{}: is a pipe, a socket or a device, which may never end; name a file", path.string()));
  MUSTER_ASSIGN(auto stream, begins_as_zstd(path) ? open_zstd(path) : GzipStream::open(path));
  return PackedFile(path, std::move(remedy), std::move(stream));
}

Result<std::size_t> PackedFile::read(std::span<std::uint8_t> bytes) {
  auto got = stream_->read(bytes);
  if (got || got.error().code != Code::kDataLoss) return got;
  return data_loss(
      fmt::format("{}: damaged {} file ({}); {}", path_.string(), packing(), got.error().message, remedy_));
}

}  // namespace muster::learning
