// tests/learning/safetensors_test.cc: the file format byte by byte, atomic writes, hostile files
#include "learning/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/json/fields.h"
#include "learning/atomic_file.h"
#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

const std::vector<float> kWeights{1.0F, -2.0F, 0.5F, 4.0F, 5.0F, 6.0F};
const std::vector<float> kBias{7.0F};

std::vector<NamedTensor> two_tensors() { return {{"weight", {2, 3}, kWeights}, {"bias", {1}, kBias}}; }

// A file of `header` (as it is) and `data_bytes` bytes of zeros.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\0');
}

TEST(Safetensors, HasTheBytesOfTheFormat) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  ASSERT_TRUE(write_safetensors(path, two_tensors(), {{"step", "7"}}));
  const std::string bytes = read_text(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  EXPECT_EQ(bytes[8], '{');
  ASSERT_EQ(bytes.size(), 8 + length + 28);
  const Json header = Json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["weight"], (Json{{"dtype", "F32"}, {"shape", {2, 3}}, {"data_offsets", {0, 24}}}));
  EXPECT_EQ(header["bias"], (Json{{"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {24, 28}}}));
  EXPECT_EQ(header["__metadata__"]["step"], "7");
  // The SHA-256 of the 28 bytes, by sha256sum.
  EXPECT_EQ(header["__metadata__"]["sha256"],
            "b9d3761df260f0d645804ef26c9882b16be2c274caa97d8af3082543a6a225e7");
  float last = 0;
  std::memcpy(&last, bytes.data() + bytes.size() - 4, 4);
  EXPECT_EQ(last, 7.0F);
}

TEST(Safetensors, ReadsWhatItWrote) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  ASSERT_TRUE(write_safetensors(path, two_tensors(), {{"k", "v \"quoted\" \xC3\xA9"}}));
  const auto file = read_safetensors(path);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors.size(), 2U);
  EXPECT_EQ(file->tensors[0].name, "weight");
  EXPECT_EQ(file->tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(file->tensors[0].values, kWeights);
  EXPECT_EQ(file->tensors[1].values, kBias);
  EXPECT_EQ(file->metadata.at("k"), "v \"quoted\" \xC3\xA9");
}

TEST(Safetensors, TellsEveryTruncationAndEveryFlippedByte) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  ASSERT_TRUE(write_safetensors(path, two_tensors(), {}));
  const std::string whole = read_text(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_text(path, whole.substr(0, size));
    const auto file = read_safetensors(path);
    ASSERT_FALSE(file) << "cut to " << size;
    EXPECT_EQ(file.error().code, Code::kDataLoss);
  }
  for (std::size_t at = whole.size() - 28; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    write_text(path, flipped);
    EXPECT_FALSE(read_safetensors(path)) << "flipped " << at;
  }
  for (std::size_t at = 0; at < whole.size() - 28; ++at) {  // in the header: no crash, whatever comes out
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    write_text(path, flipped);
    (void)read_safetensors(path);
  }
}

TEST(Safetensors, RefusesHostileHeaders) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "hostile.safetensors";
  const std::vector<std::pair<const char*, std::string>> cases{
      {"no JSON", file_of("hello", 4)},
      {"an array", file_of("[1]", 4)},
      {"a tensor that is no object", file_of(R"({"a":1})", 4)},
      {"another type", file_of(R"({"a":{"dtype":"F3x","shape":[1],"data_offsets":[0,4]}})", 4)},
      {"a negative extent", file_of(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4)},
      {"a product that wraps around",
       file_of(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0)},
      {"offsets beyond the file", file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4)},
      {"offsets backwards", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4)},
      {"an overlap", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                             4)},
      {"a gap", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8)},
      {"bytes behind the tensors", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 12)},
      {"metadata that is no text", file_of(R"({"__metadata__":{"a":1}})", 0)},
      {"a wrong checksum",
       file_of(R"({"__metadata__":{"sha256":"00"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
               4)},
      {"a header longer than the file", std::string("\xff\xff\xff\x7f\0\0\0\0", 8)},
      {"a header of 2^64 - 1 bytes", std::string(8, '\xff')},
      {"deep nesting", file_of(std::string(100'000, '['), 0)},
  };
  for (const auto& [name, bytes] : cases) {
    write_text(path, bytes);
    const auto file = read_safetensors(path);
    ASSERT_FALSE(file) << name;
    EXPECT_EQ(file.error().code, Code::kDataLoss) << name;
    EXPECT_NE(file.error().message.find("hostile.safetensors"), std::string::npos) << name;
  }
}

TEST(Safetensors, ReadsAScalarAndAnEmptyTensorOfAnotherWriter) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "other.safetensors";
  write_text(path, file_of(R"({"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                           R"("a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}   )",
                           4));
  const auto file = read_safetensors(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_EQ(file->tensors[1].values.size(), 1U);
}

// A file size limit stands for the full disk: write fails the same way, in the middle of the data.
TEST(Safetensors, KeepsTheOldFileWhenTheNewOneDoesNotFit) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  ASSERT_TRUE(write_safetensors(path, two_tensors(), {}));
  const std::vector<float> large(100'000);
  const NamedTensor tensor{"large", {100'000}, large};
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limited{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
  const auto status = write_safetensors(path, std::span(&tensor, 1), {});
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kResourceExhausted) << status.error().message;
  EXPECT_EQ(read_safetensors(path)->tensors.size(), 2U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Safetensors, NamesTheBytesThatAFullDiskLacks) {
  const Error error = file_error("write", "/data/model.safetensors", ENOSPC, 4000);
  EXPECT_EQ(error.code, Code::kResourceExhausted);
  EXPECT_NE(error.message.find("/data/model.safetensors: No space left on device: 4000 bytes are needed"),
            std::string::npos)
      << error.message;
}

TEST(Safetensors, DoesNotWriteThroughALinkInItsPlace) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  write_text(folder.path() / "precious", "precious");
  for (const auto& name : {path, std::filesystem::path(path.string() + ".tmp")})
    std::filesystem::create_symlink(folder.path() / "precious", name);
  EXPECT_TRUE(write_safetensors(path, two_tensors(), {}));
  EXPECT_EQ(read_text(folder.path() / "precious"), "precious");
  EXPECT_TRUE(read_safetensors(path));
}

TEST(Safetensors, NamesAFolderThatIsMissing) {
  const auto status = write_safetensors("/nonexistent/model.safetensors", two_tensors(), {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kNotFound);
  EXPECT_EQ(read_safetensors("/nonexistent/model.safetensors").error().code, Code::kNotFound);
  EXPECT_EQ(read_safetensors("/").error().code, Code::kDataLoss);
}

}  // namespace
}  // namespace muster::learning
