// learning/gzip_whole.cc: libdeflate, which wants to know the size beforehand: the file's last four bytes
// tell
#include "learning/gzip_whole.h"

#include <libdeflate.h>

#include <cstring>
#include <fstream>
#include <memory>

namespace muster::learning {
namespace {

constexpr std::uint64_t kOverhead = 18;           // bytes of a member's header and trailer at least
constexpr std::uint64_t kDeflateRatioMax = 1032;  // bytes that one byte can become

std::optional<std::vector<std::uint8_t>> read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = stream ? std::streamoff(stream.tellg()) : -1;
  if (size < static_cast<std::streamoff>(kOverhead)) return std::nullopt;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  stream.seekg(0);
  if (!stream.read(reinterpret_cast<char*>(bytes.data()), size)) return std::nullopt;
  return bytes;
}

}  // namespace

std::optional<std::vector<std::uint8_t>> read_gzip_whole(const std::filesystem::path& path,
                                                         std::uint64_t bytes_max) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  const auto packed = read_file(path);
  if (!packed || (*packed)[0] != 0x1f || (*packed)[1] != 0x8b) return std::nullopt;
  std::uint32_t size = 0;  // modulo 2^32: a larger file does not fit what it says
  std::memcpy(&size, packed->data() + packed->size() - sizeof(size), sizeof(size));
  if (size > bytes_max || size / kDeflateRatioMax > packed->size()) return std::nullopt;
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor(
      libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  if (!decompressor) return std::nullopt;
  std::vector<std::uint8_t> bytes(size);
  std::size_t read = 0;
  std::size_t written = 0;
  const auto result = libdeflate_gzip_decompress_ex(decompressor.get(), packed->data(), packed->size(),
                                                    bytes.data(), bytes.size(), &read, &written);
  if (result != LIBDEFLATE_SUCCESS || read != packed->size() || written != size) return std::nullopt;
  return bytes;
}

}  // namespace muster::learning
