// learning/safetensors.cc: 8 bytes of header length, a JSON header, the data; all little-endian
#include "learning/safetensors.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "common/base/text.h"
#include "common/json/fields.h"
#include "common/json/read_json.h"
#include "learning/atomic_file.h"
#include "learning/sha256.h"

namespace muster::learning {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian; values are copied as they are");
constexpr std::uint64_t kLargestHeader = 100'000'000;  // the limit of the reference implementation
constexpr std::uint64_t kAlignment = 8;                // of the data section, for readers that map the file
constexpr auto kMetadataKey = "__metadata__";
constexpr auto kChecksumKey = "sha256";
constexpr std::array kOtherTypes{"BOOL", "U8",   "I8",  "F8_E4M3", "F8_E5M2", "I16", "U16",
                                 "F16",  "BF16", "I32", "U32",     "F64",     "I64", "U64"};
constexpr std::size_t kShownBytes = 100;  // of a name out of a file, in a message

Error damaged(const std::filesystem::path& path, std::string_view fact) {
  return data_loss(
      fmt::format("{}: not a whole safetensors file: {}; restore or remove it", path.string(), fact));
}

// Elements of a tensor of that shape; nullopt when negative or beyond 2^60.
std::optional<std::uint64_t> element_count(const std::vector<std::int64_t>& shape) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, static_cast<std::uint64_t>(extent), &count) ||
        count >> 60 != 0)
      return std::nullopt;
  }
  return count;
}

struct Placed {  // an entry with where its bytes are
  SafetensorsFile::Entry entry;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Result<Placed> read_entry(const std::filesystem::path& path, const std::string& name, const Json& json) {
  const auto wrong = [&](std::string_view fact) {
    return damaged(path, fmt::format("tensor \"{}\": {}", name, fact));
  };
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets"))
    return wrong("lacks dtype, shape or data_offsets");
  if (json["dtype"] != "F32") {
    const bool known =
        std::ranges::any_of(kOtherTypes, [&](const char* type) { return json["dtype"] == type; });
    if (!known) return wrong("dtype is none of the format");
    return failed_precondition(fmt::format(
        "{}: tensor \"{}\" is {}, only F32 is read; use another folder, or remove the file to start "
        "afresh",
        path.string(), clip(name, kShownBytes), json["dtype"].get<std::string>()));
  }
  Placed placed;
  placed.entry.name = name;
  if (!json["shape"].is_array() || json["shape"].size() > 16) return wrong("shape is not a short array");
  for (const Json& extent : json["shape"]) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() >> 60 != 0)
      return wrong("an extent of its shape is no count");
    placed.entry.shape.push_back(extent.get<std::int64_t>());
  }
  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    return wrong("data_offsets is not a pair of counts");
  placed.begin = offsets[0].get<std::uint64_t>();
  placed.end = offsets[1].get<std::uint64_t>();
  const auto count = element_count(placed.entry.shape);
  if (!count || placed.begin > placed.end || placed.end - placed.begin != *count * sizeof(float))
    return wrong("its offsets do not fit its shape");
  return placed;
}

// The entries in order of their data, which they fill without gap or overlap.
Result<std::vector<Placed>> read_header(const std::filesystem::path& path, const std::string& text,
                                        std::uint64_t data_bytes,
                                        std::map<std::string, std::string>& metadata) {
  const Json header = read_json(text);
  if (!header.is_object()) return damaged(path, "its header is not a JSON object");
  std::vector<Placed> placed;
  for (const auto& [key, value] : header.items()) {
    if (key == kMetadataKey) {
      if (!value.is_object()) return damaged(path, "its metadata is not an object");
      for (const auto& [name, entry] : value.items()) {
        if (!entry.is_string()) return damaged(path, fmt::format("metadata \"{}\" is not a string", name));
        metadata[name] = entry.get<std::string>();
      }
      continue;
    }
    MUSTER_ASSIGN(Placed entry, read_entry(path, key, value));
    placed.push_back(std::move(entry));
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t expected = 0;
  for (const Placed& entry : placed) {
    if (entry.begin != expected)
      return damaged(path, fmt::format("tensor \"{}\" begins at byte {}, expected {}", entry.entry.name,
                                       entry.begin, expected));
    expected = entry.end;
  }
  if (expected != data_bytes)
    return damaged(path, fmt::format("expected {} bytes of data, has {}", expected, data_bytes));
  return placed;
}

Status verify_checksum(const std::filesystem::path& path, const SafetensorsFile& file) {
  const auto stored = file.metadata.find(kChecksumKey);
  if (stored == file.metadata.end()) return {};
  std::vector<std::span<const std::byte>> parts;
  parts.reserve(file.tensors.size());
  for (const auto& tensor : file.tensors) parts.push_back(std::as_bytes(std::span(tensor.values)));
  if (sha256_hex(parts) != stored->second) return damaged(path, "its data differ from its SHA-256");
  return {};
}

}  // namespace

Status write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::vector<std::span<const std::byte>> parts(2);  // length and header come first, once they are known
  for (const NamedTensor& tensor : tensors) {
    if (element_count(tensor.shape) != tensor.values.size())
      return invalid_argument(fmt::format("{}: tensor \"{}\" has {} values, which its shape does not hold",
                                          path.string(), tensor.name, tensor.values.size()));
    parts.push_back(std::as_bytes(tensor.values));
  }
  nlohmann::ordered_json header;
  auto all_metadata = metadata;
  all_metadata[kChecksumKey] = sha256_hex(std::span(parts).subspan(2));
  header[kMetadataKey] = all_metadata;
  std::uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::uint64_t end = offset + tensor.values.size_bytes();
    if (header.contains(tensor.name))
      return invalid_argument(
          fmt::format("{}: two entries are called \"{}\"", path.string(), clip(tensor.name, kShownBytes)));
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  if (text.size() > kLargestHeader)
    return invalid_argument(fmt::format("{}: a header of {} bytes, which no reader takes; {} are the most",
                                        path.string(), text.size(), kLargestHeader));
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const auto length = std::bit_cast<std::array<std::byte, 8>>(static_cast<std::uint64_t>(text.size()));
  parts[0] = length;
  parts[1] = std::as_bytes(std::span(text));
  return write_atomically(path, parts);
}

Result<SafetensorsFile> read_safetensors(const std::filesystem::path& path) {
  errno = 0;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return file_error("read", path, errno);
  if (!S_ISREG(info.st_mode)) return damaged(path, "it is not a regular file");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return file_error("read", path, errno != 0 ? errno : EACCES);
  const auto file_bytes = static_cast<std::uint64_t>(info.st_size);
  std::uint64_t header_bytes = 0;
  if (file_bytes < sizeof(header_bytes)) return damaged(path, fmt::format("it has {} bytes", file_bytes));
  stream.read(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
  if (header_bytes > kLargestHeader || header_bytes > file_bytes - sizeof(header_bytes))
    return damaged(path,
                   fmt::format("its header claims {} bytes, the file has {}", header_bytes, file_bytes));
  std::string text(header_bytes, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(header_bytes));
  if (!stream) return damaged(path, "it ends inside the header");
  SafetensorsFile file;
  MUSTER_ASSIGN(auto placed,
                read_header(path, text, file_bytes - sizeof(header_bytes) - header_bytes, file.metadata));
  for (Placed& entry : placed) {
    entry.entry.values.resize((entry.end - entry.begin) / sizeof(float));
    stream.read(reinterpret_cast<char*>(entry.entry.values.data()),
                static_cast<std::streamsize>(entry.end - entry.begin));
    if (!stream) return damaged(path, fmt::format("it ends inside tensor \"{}\"", entry.entry.name));
    file.tensors.push_back(std::move(entry.entry));
  }
  MUSTER_TRY(verify_checksum(path, file));
  return file;
}

}  // namespace muster::learning
