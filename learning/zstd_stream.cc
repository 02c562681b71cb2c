// learning/zstd_stream.cc: files of zstd, piece by piece
#include <fmt/format.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "learning/atomic_file.h"
#include "learning/packed_file.h"

namespace muster::learning {
namespace {

class ZstdStream final : public PackedFile::Stream {
 public:
  explicit ZstdStream(std::filesystem::path path) : path_(std::move(path)) {}

  Status open() {
    file_.reset(std::fopen(path_.c_str(), "rbe"));
    if (!file_) return file_error("read", path_, errno);
    context_.reset(ZSTD_createDCtx());
    if (!context_) return file_error("read", path_, ENOMEM);
    return {};
  }

  // Windows above 128 MiB are refused by the library, so that no file takes more memory than that.
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override {
    ZSTD_outBuffer out{.dst = bytes.data(), .size = bytes.size(), .pos = 0};
    while (out.pos < out.size) {
      if (in_.pos == in_.size && !over_) MUSTER_TRY(fill());
      const std::size_t before = out.pos;
      const std::size_t consumed = in_.pos;
      const std::size_t left = ZSTD_decompressStream(context_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) return data_loss(ZSTD_getErrorName(left));
      if (out.pos > before || in_.pos > consumed) inside_ = left != 0;
      if (over_ && in_.pos == in_.size && out.pos == before) break;
    }
    return out.pos;
  }
  [[nodiscard]] bool ends_early() const override { return over_ && inside_; }
  [[nodiscard]] std::string_view packing() const override { return "zstd"; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { static_cast<void>(std::fclose(file)); }
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  Status fill() {
    const std::size_t got = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
    if (std::ferror(file_.get()) != 0) return file_error("read", path_, errno);
    over_ = got == 0;
    in_ = {.src = buffer_.data(), .size = got, .pos = 0};
    return {};
  }

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::unique_ptr<ZSTD_DCtx, Close> context_;
  std::vector<char> buffer_ = std::vector<char>(ZSTD_DStreamInSize());
  ZSTD_inBuffer in_{};
  bool over_ = false;    // of the file
  bool inside_ = false;  // a frame has begun that has not ended
};

}  // namespace

Result<std::unique_ptr<PackedFile::Stream>> open_zstd(const std::filesystem::path& path) {
  auto stream = std::make_unique<ZstdStream>(path);
  MUSTER_TRY(stream->open());
  return std::unique_ptr<PackedFile::Stream>(std::move(stream));
}

}  // namespace muster::learning
