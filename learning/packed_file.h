#pragma once  // learning/packed_file.h: reads a file, plain or gzip; which of the two is seen from its bytes
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "common/base/result.h"

struct gzFile_s;

namespace muster::learning {

class PackedFile {
 public:
  // `remedy` ends the messages about damage. Errors: file_error's.
  [[nodiscard]] static Result<PackedFile> open(const std::filesystem::path& path,
                                               std::string remedy = "fetch the file again");

  // Fills `bytes` with what comes next; the count is smaller only at the end of the file. A gzip stream that
  // stops early is no error here: ends_early() tells it. Errors: kDataLoss (damaged), file_error's.
  [[nodiscard]] Result<std::size_t> read(std::span<std::uint8_t> bytes);
  // Once read has come to the end: the gzip stream stopped before its checksum.
  [[nodiscard]] bool ends_early() const;

 private:
  struct Close {
    void operator()(gzFile_s* file) const;
  };
  PackedFile(std::filesystem::path path, std::string remedy, std::unique_ptr<gzFile_s, Close> file);

  std::filesystem::path path_;
  std::string remedy_;
  std::unique_ptr<gzFile_s, Close> file_;
};

}  // namespace muster::learning
