// learning/idx_files.cc: images and labels in IDX files, plain, gzip or zstd
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <optional>

#include "common/platform/permitted_path.h"
#include "learning/gzip_whole.h"
#include "learning/packed_file.h"
#include "learning/readers.h"

namespace muster::learning {
namespace {

constexpr std::uint64_t kLargestPayload = std::uint64_t{16} << 30;
constexpr std::uint64_t kDeflateRatioMax = 1032;  // bytes that one byte of a gzip stream can become
constexpr std::size_t kReadAtOnce = std::size_t{1} << 18;
constexpr std::string_view kDebianFolder = "/usr/share/datasets/fashion-mnist";

struct Idx {
  std::filesystem::path path;
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> bytes;
};

// What to do where files of `folder` are missing or damaged.
std::string remedy_for(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto real = std::filesystem::weakly_canonical(folder, ignored);
  return real == kDebianFolder
             ? "fetch the file again (Debian: apt-get install --reinstall dataset-fashion-mnist)"
             : "fetch the file again";
}

// Appends up to `count` bytes; fewer at the end of the file.
Status read_bytes(PackedFile& file, std::uint64_t count, std::vector<std::uint8_t>& out) {
  while (count > 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(count, kReadAtOnce));
    const std::size_t before = out.size();
    out.resize(before + step);
    MUSTER_ASSIGN(const std::size_t got, file.read(std::span(out).subspan(before)));
    out.resize(before + got);
    if (got < step) return {};
    count -= got;
  }
  return {};
}

// Memory for the payload in one piece, unless the file is too short for it: then its header lies.
void reserve(std::vector<std::uint8_t>& bytes, std::uint64_t payload, const std::filesystem::path& path) {
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  if (!error && payload / kDeflateRatioMax <= size) bytes.reserve(payload);
}

std::uint32_t big_endian(std::span<const std::uint8_t, 4> bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

// A gzip file that is as it should be, quickly; nothing for every other, whose fault read_idx tells.
std::optional<Idx> read_whole(const std::filesystem::path& path, std::size_t dimensions) {
  auto bytes = read_gzip_whole(path, kLargestPayload);
  const std::size_t header_bytes = 4 * (1 + dimensions);
  if (!bytes || bytes->size() <= header_bytes) return std::nullopt;
  const auto number = [&](std::size_t i) { return big_endian(std::span(*bytes).subspan(4 * i).first<4>()); };
  if (number(0) != 0x800 + dimensions) return std::nullopt;
  Idx idx{.path = path, .extents = {}, .bytes = {}};
  std::uint64_t payload = 1;
  for (std::size_t i = 1; i <= dimensions; ++i) {
    idx.extents.push_back(number(i));
    if (__builtin_mul_overflow(payload, std::uint64_t{number(i)}, &payload)) return std::nullopt;
  }
  if (payload != bytes->size() - header_bytes) return std::nullopt;
  bytes->erase(bytes->begin(), bytes->begin() + static_cast<std::ptrdiff_t>(header_bytes));
  idx.bytes = *std::move(bytes);
  return idx;
}

// IDX: magic 00 00 08 <dimensions>, one big-endian uint32 an extent, then unsigned bytes.
Result<Idx> read_idx(const std::filesystem::path& path, std::size_t dimensions) {
  if (auto whole = read_whole(path, dimensions)) return *std::move(whole);
  const std::string name = path.string();
  const std::string remedy = remedy_for(path.parent_path());
  MUSTER_ASSIGN(PackedFile file, PackedFile::open(path, remedy));
  std::vector<std::uint8_t> header;
  const std::size_t header_bytes = 4 * (1 + dimensions);
  MUSTER_TRY(read_bytes(file, header_bytes, header));
  if (header.size() < header_bytes)
    return data_loss(fmt::format("{}: truncated: expected a header of {} bytes, has {}; {}", name,
                                 header_bytes, header.size(), remedy));
  const std::uint32_t magic = big_endian(std::span(header).first<4>());
  const auto expected_magic = static_cast<std::uint32_t>(0x800 + dimensions);
  if (magic != expected_magic) {
    // Bytes of a file that is another kind's are not told to whoever reads the pod's status.
    const bool idx_of_another_form = magic >> 16 == 0;
    return invalid_argument(fmt::format(
        "{}: not an IDX file of unsigned bytes in {} dimension(s): its magic number is {}, expected "
        "0x{:08x}; check which file this is",
        name, dimensions, idx_of_another_form ? fmt::format("0x{:08x}", magic) : "no IDX file's",
        expected_magic));
  }
  Idx idx{.path = path, .extents = {}, .bytes = {}};
  std::uint64_t payload = 1;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const std::uint32_t extent = big_endian(std::span(header).subspan(4 * (i + 1)).first<4>());
    idx.extents.push_back(extent);
    if (extent == 0)
      return invalid_argument(fmt::format("{}: empty: dimension {} is 0; {}", name, i, remedy));
    if (payload > kLargestPayload / extent)
      return invalid_argument(fmt::format(
          "{}: its header claims more than {} bytes; check which file this is", name, kLargestPayload));
    payload *= extent;
  }
  reserve(idx.bytes, payload, path);
  MUSTER_TRY(read_bytes(file, payload, idx.bytes));  // grows as bytes arrive: the header may lie
  if (idx.bytes.size() < payload)
    return data_loss(fmt::format("{}: truncated: expected {} bytes of data, has {}; {}", name, payload,
                                 idx.bytes.size(), remedy));
  std::vector<std::uint8_t> rest;
  MUSTER_TRY(read_bytes(file, 1, rest));  // also makes zlib verify the checksum
  if (file.ends_early())
    return data_loss(fmt::format("{}: truncated: its {} stream ends before its checksum; {}", name,
                                 file.packing(), remedy));
  if (!rest.empty())
    return data_loss(fmt::format("{}: has more than the {} bytes of data that its header tells; {}", name,
                                 payload, remedy));
  return idx;
}

// `what`: as in "train-images"; `form`: as in "idx3-ubyte".
Result<std::filesystem::path> find_file(const std::filesystem::path& folder, std::string_view what,
                                        std::string_view form) {
  std::error_code ignored;
  for (const char mark : {'-', '.'}) {  // the dot: as Kaggle's copies are named
    for (const auto suffix : {"", ".gz", ".zst"}) {
      auto path = folder / fmt::format("{}{}{}{}", what, mark, form, suffix);
      // Kaggle's has folders, too, that are named as the file in them.
      if (std::filesystem::is_directory(path, ignored)) continue;
      if (std::filesystem::exists(path, ignored)) return permitted_dataset_file(folder, path);
    }
  }
  return not_found(fmt::format(
      "{0}: has no file {1}-{2} or {1}.{2}, nor either with .gz or .zst; put one of them there or "
      "correct the dataset's path",
      folder.string(), what, form));
}

Result<Examples> read_pair(const std::filesystem::path& folder, std::string_view prefix) {
  MUSTER_ASSIGN(auto images_path, find_file(folder, fmt::format("{}-images", prefix), "idx3-ubyte"));
  MUSTER_ASSIGN(auto labels_path, find_file(folder, fmt::format("{}-labels", prefix), "idx1-ubyte"));
  MUSTER_ASSIGN(const Idx labels, read_idx(labels_path, 1));
  MUSTER_ASSIGN(Idx images, read_idx(images_path, 3));
  if (images.extents[0] != labels.extents[0])
    return invalid_argument(fmt::format("{} has {} images but {} has {} labels; use files of the same set",
                                        images_path.string(), images.extents[0], labels_path.string(),
                                        labels.extents[0]));
  Examples examples;
  examples.shape = {images.extents[1], images.extents[2]};
  examples.feature_count = images.extents[1] * images.extents[2];
  examples.labels.assign(labels.bytes.begin(), labels.bytes.end());
  examples.pixels = std::move(images.bytes);
  return examples;
}

Status check_labels(const Examples& examples, std::int64_t class_count, std::string_view which) {
  for (std::size_t i = 0; i < examples.labels.size(); ++i) {
    if (examples.labels[i] >= class_count)
      return invalid_argument(
          fmt::format("{} label {} is {}, must be below {} (the number of classes); "
                      "use label files of this dataset",
                      which, i, examples.labels[i], class_count));
  }
  return {};
}

}  // namespace

Result<Dataset> read_idx_folder(const std::filesystem::path& folder,
                                std::optional<std::int64_t> class_count) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder, ignored))
    return not_found(fmt::format(
        "dataset path {}: no such folder; {}correct the path", folder.string(),
        folder == kDebianFolder ? "install the dataset (Debian: apt-get install dataset-fashion-mnist) or "
                                : "put the four IDX files there or "));
  if (!std::filesystem::is_directory(folder, ignored))
    return invalid_argument(fmt::format(
        "dataset path {}: is not a folder; name the folder that holds the IDX files", folder.string()));
  auto test = std::async(std::launch::async, [&] { return read_pair(folder, "t10k"); });
  auto train = read_pair(folder, "train");
  auto tested = test.get();
  Dataset data;
  MUSTER_ASSIGN(data.train, std::move(train));
  MUSTER_ASSIGN(data.test, std::move(tested));
  if (data.train.shape != data.test.shape)
    return invalid_argument(fmt::format(
        "{}: training images are {} x {}, test images {} x {}; use files of one set", folder.string(),
        data.train.shape[0], data.train.shape[1], data.test.shape[0], data.test.shape[1]));
  const auto largest =
      std::max(*std::ranges::max_element(data.train.labels), *std::ranges::max_element(data.test.labels));
  const std::int64_t classes = class_count.value_or(1 + largest);
  MUSTER_TRY(check_labels(data.train, classes, folder.string() + ": training"));
  MUSTER_TRY(check_labels(data.test, classes, folder.string() + ": test"));
  data.train.class_count = data.test.class_count = classes;
  return data;
}

}  // namespace muster::learning
