#pragma once  // learning/packed_file.h: reads a file, plain, gzip or zstd; which of them is seen from its
              // bytes
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace muster::learning {

class PackedFile {
 public:
  // One way of packing; for its sources.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Of PackedFile; damage is told without file and remedy.
    [[nodiscard]] virtual Result<std::size_t> read(std::span<std::uint8_t> bytes) = 0;
    [[nodiscard]] virtual bool ends_early() const = 0;
    [[nodiscard]] virtual std::string_view packing() const = 0;
  };

  // `remedy` ends the messages about damage. Errors: file_error's.
  [[nodiscard]] static Result<PackedFile> open(const std::filesystem::path& path,
                                               std::string remedy = "fetch the file again");

  // Fills `bytes` with what comes next; the count is smaller only at the end of the file. A packed stream
  // that stops early is no error here: ends_early() tells it. Errors: kDataLoss (damaged), file_error's.
  [[nodiscard]] Result<std::size_t> read(std::span<std::uint8_t> bytes);
  // Once read has come to the end: the packed stream stopped before its own end.
  [[nodiscard]] bool ends_early() const { return stream_->ends_early(); }
  // "gzip" or "zstd"; "gzip" of a plain file, too.
  [[nodiscard]] std::string_view packing() const { return stream_->packing(); }

 private:
  PackedFile(std::filesystem::path path, std::string remedy, std::unique_ptr<Stream> stream);

  std::filesystem::path path_;
  std::string remedy_;
  std::unique_ptr<Stream> stream_;
};

// A file that begins as one of zstd does. Errors: file_error's.
[[nodiscard]] Result<std::unique_ptr<PackedFile::Stream>> open_zstd(const std::filesystem::path& path);

}  // namespace muster::learning
