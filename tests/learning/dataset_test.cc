// tests/learning/dataset_test.cc: readers of good and of bad files; the synthetic generator
#include "learning/dataset.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <cmath>
#include <set>

#include "learning/data_identity.h"
#include "tests/learning/examples.h"

namespace muster::learning {
namespace {

namespace fs = std::filesystem;

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
  return bytes;
}

std::string images(std::uint32_t count, std::uint32_t rows = 3, std::uint32_t columns = 2) {
  std::string bytes = big_endian(0x803) + big_endian(count) + big_endian(rows) + big_endian(columns);
  for (std::uint32_t i = 0; i < count * rows * columns; ++i) bytes.push_back(static_cast<char>(i * 51 % 256));
  return bytes;
}

std::string labels(const std::vector<int>& values) {
  std::string bytes = big_endian(0x801) + big_endian(static_cast<std::uint32_t>(values.size()));
  for (const int value : values) bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string gzipped(const std::string& plain) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "x";
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, plain.data(), static_cast<unsigned>(plain.size()));
  gzclose(file);
  return read_text(path);
}

class IdxFolder : public testing::Test {
 protected:
  IdxFolder() {
    write("train-images-idx3-ubyte", images(4));
    write("train-labels-idx1-ubyte", labels({0, 1, 2, 1}));
    write("t10k-images-idx3-ubyte.gz", gzipped(images(2)));
    write("t10k-labels-idx1-ubyte.gz", gzipped(labels({2, 0})));
  }
  void write(const std::string& name, const std::string& bytes) { write_text(folder_.path() / name, bytes); }
  Result<Dataset> load(const std::string& name = "idx") {
    return load_dataset({.name = name, .path = folder_.path().string(), .csv = {}, .synthetic = {}}, 0);
  }
  void expect_error(Code code, const std::string& part, const std::string& name = "idx") {
    const auto data = load(name);
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, code) << data.error().message;
    EXPECT_NE(data.error().message.find(part), std::string::npos) << data.error().message;
  }
  TemporaryFolder folder_;
};

TEST_F(IdxFolder, IsReadPlainAndGzip) {
  const auto data = load();
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->train.size(), 4);
  EXPECT_EQ(data->test.size(), 2);
  EXPECT_EQ(data->train.shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(data->train.class_count, 3);
  EXPECT_EQ(data->train.labels, (std::vector<std::int32_t>{0, 1, 2, 1}));
  std::vector<float> features(12);
  data->train.copy_features(1, 2, features.data());
  EXPECT_EQ(features[0], 50 / 255.0F);
  EXPECT_EQ(features[4], 254 / 255.0F);
  EXPECT_EQ(features[11], (51 * 17 % 256) / 255.0F);
}

TEST_F(IdxFolder, IsReadFromZstd) {
  fs::remove(folder_.path() / "t10k-labels-idx1-ubyte.gz");
  const std::string plain = labels({2, 0});
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 3));
  write("t10k-labels-idx1-ubyte.zst", packed);
  const auto data = load();
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->test.labels, (std::vector<std::int32_t>{2, 0}));
  write("t10k-labels-idx1-ubyte.zst", packed.substr(0, packed.size() - 1));
  expect_error(Code::kDataLoss, "t10k-labels-idx1-ubyte.zst: truncated");
}

TEST_F(IdxFolder, IsReadAsKaggleNamesItsFiles) {
  const auto rename = [this](const std::string& from, const std::string& to) {
    fs::rename(folder_.path() / from, folder_.path() / to);
  };
  rename("train-images-idx3-ubyte", "train-images.idx3-ubyte");
  rename("train-labels-idx1-ubyte", "train-labels.idx1-ubyte");
  rename("t10k-images-idx3-ubyte.gz", "t10k-images.idx3-ubyte.gz");
  fs::create_directory(folder_.path() / "train-images-idx3-ubyte");  // holds a copy of its own
  const auto data = load();
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->train.labels, (std::vector<std::int32_t>{0, 1, 2, 1}));
  EXPECT_EQ(data->test.labels, (std::vector<std::int32_t>{2, 0}));
}

TEST_F(IdxFolder, NamesTheFileThatIsMissing) {
  fs::remove(folder_.path() / "t10k-labels-idx1-ubyte.gz");
  expect_error(Code::kNotFound,
               "has no file t10k-labels-idx1-ubyte or t10k-labels.idx1-ubyte, nor either with .gz or .zst");
}

TEST_F(IdxFolder, ThatIsMissingIsToldWithItsRemedyWhichIsAPackageForDebiansFolderAlone) {
  for (const std::string name : {"fashion-mnist", "idx"}) {
    const auto data = load_dataset({.name = name, .path = "/nonexistent", .csv = {}, .synthetic = {}}, 0);
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, Code::kNotFound);
    EXPECT_NE(data.error().message.find("/nonexistent: no such folder; put the four IDX files there"),
              std::string::npos);
    EXPECT_EQ(data.error().message.find("apt-get"), std::string::npos);
  }
  write("train-images-idx3-ubyte", images(4).substr(0, 20));
  const auto damaged = load("fashion-mnist");
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().message.find("apt-get"), std::string::npos) << damaged.error().message;
}

TEST_F(IdxFolder, TellsTheBytesOfATruncatedPayload) {
  write("train-images-idx3-ubyte", images(4).substr(0, 16 + 23));
  expect_error(Code::kDataLoss, "expected 24 bytes of data, has 23");
}

TEST_F(IdxFolder, TellsATruncatedGzipStreamAtEveryLength) {
  const std::string whole = gzipped(images(2));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write("t10k-images-idx3-ubyte.gz", whole.substr(0, size));
    const auto data = load();
    ASSERT_FALSE(data) << "cut to " << size << " of " << whole.size();
    EXPECT_NE(data.error().message.find("t10k-images-idx3-ubyte.gz"), std::string::npos);
  }
}

TEST_F(IdxFolder, TellsADamagedGzipStream) {
  std::string bytes = gzipped(images(2));
  bytes[bytes.size() - 6] = static_cast<char>(bytes[bytes.size() - 6] ^ 1);  // the checksum
  write("t10k-images-idx3-ubyte.gz", bytes);
  expect_error(Code::kDataLoss, "damaged gzip file");
}

TEST_F(IdxFolder, TellsTheWrongMagicNumber) {
  write("train-images-idx3-ubyte", labels({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  expect_error(Code::kInvalidArgument, "0x00000801, expected 0x00000803");
  write("train-images-idx3-ubyte", "#!/bin/sh\nexit 1\n");
  expect_error(Code::kInvalidArgument, "its magic number is no IDX file's, expected 0x00000803");
  write("train-images-idx3-ubyte", "");
  expect_error(Code::kDataLoss, "expected a header of 16 bytes, has 0");
}

TEST_F(IdxFolder, AFileThatIsALinkIsJudgedByWhereItLeads) {
  const auto file = folder_.path() / "train-images-idx3-ubyte";
  fs::remove(file);
  fs::create_symlink("/etc/passwd", file);
  expect_error(Code::kInvalidArgument, "is a link to the files of the system");
  fs::remove(file);
  fs::create_directory(folder_.path() / "..data");  // as volumes of ConfigMaps have it
  write("..data/images", images(4));
  fs::create_symlink("..data/images", file);
  const auto data = load();
  EXPECT_TRUE(data) << data.error().message;
}

TEST_F(IdxFolder, TellsThatCountsDiffer) {
  write("train-labels-idx1-ubyte", labels({0, 1, 2}));
  expect_error(Code::kInvalidArgument, "has 4 images but");
}

TEST_F(IdxFolder, CountsClassesOverBothParts) {
  write("t10k-labels-idx1-ubyte.gz", gzipped(labels({0, 3})));
  const auto data = load();
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->train.class_count, 4);
  EXPECT_EQ(data->test.class_count, 4);
  ASSERT_EQ(data->warnings.size(), 1U);
  EXPECT_NE(data->warnings[0].find("1 of its 4 classes have test examples but no training example"),
            std::string::npos);
}

TEST_F(IdxFolder, WithoutTwoClassesOrWithAnOutlierIsRefused) {
  write("train-labels-idx1-ubyte", labels({1, 1, 1, 1}));
  write("t10k-labels-idx1-ubyte.gz", gzipped(labels({1, 1})));
  expect_error(Code::kInvalidArgument, "all 6 examples have the same label");
  write("t10k-labels-idx1-ubyte.gz", gzipped(labels({0, 200})));
  expect_error(Code::kInvalidArgument, "its largest label is 200, but it has 3 different labels");
}

TEST_F(IdxFolder, HasADigestOfItsContentHoweverItIsPacked) {
  const std::string digest = load()->digest;
  EXPECT_EQ(digest.size(), 64U);
  write("train-images-idx3-ubyte.gz", gzipped(images(4)));
  fs::remove(folder_.path() / "train-images-idx3-ubyte");
  EXPECT_EQ(load()->digest, digest);
  std::string other = images(4);
  other.back() = static_cast<char>(other.back() + 1);
  write("train-images-idx3-ubyte.gz", gzipped(other));
  const std::string of_pixels = load()->digest;
  EXPECT_NE(of_pixels, digest);
  write("t10k-labels-idx1-ubyte.gz", gzipped(labels({0, 2})));
  EXPECT_NE(load()->digest, of_pixels);
}

TEST_F(IdxFolder, TellsALabelOutOfRange) {
  write("train-labels-idx1-ubyte", labels({0, 1, 2, 17}));
  expect_error(Code::kInvalidArgument, "training label 3 is 17, must be below 10", "fashion-mnist");
}

TEST_F(IdxFolder, DoesNotTrustTheHeadersCounts) {
  write("train-images-idx3-ubyte", images(4).replace(4, 12, std::string(12, '\xff')));
  expect_error(Code::kInvalidArgument, "claims more than");
  write("train-images-idx3-ubyte", images(4).replace(4, 4, big_endian(600'000'000)));
  expect_error(Code::kDataLoss, "expected 3600000000 bytes of data, has 24");
  write("train-images-idx3-ubyte", images(4).replace(4, 4, big_endian(0)));
  expect_error(Code::kInvalidArgument, "dimension 0 is 0");
  write("train-images-idx3-ubyte", images(4) + "x");
  expect_error(Code::kDataLoss, "has more than the 24 bytes");
}

TEST(FashionMnist, LoadsFromDebiansPackage) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is missing; apt-get install dataset-fashion-mnist";
  const auto data =
      load_dataset({.name = "fashion-mnist", .path = folder.string(), .csv = {}, .synthetic = {}}, 0);
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->train.size(), 60'000);
  EXPECT_EQ(data->test.size(), 10'000);
  EXPECT_EQ(data->train.shape, (std::vector<std::int64_t>{28, 28}));
  double sum = 0;
  for (const std::uint8_t pixel : data->train.pixels) sum += static_cast<double>(pixel) / 255;
  EXPECT_NEAR(sum / static_cast<double>(data->train.pixels.size()), 0.2860, 1e-4);  // the known mean
}

Dataset synthetic(spec::Synthetic spec, std::uint64_t seed = 1) {
  return *load_dataset({.name = "synthetic", .path = {}, .csv = {}, .synthetic = spec}, seed);
}

TEST(Synthetic, SplitsEachDevicesExamplesNineToOne) {
  const Dataset data = synthetic({.devices = 30, .sigma = 2});
  ASSERT_EQ(data.device_begin.size(), 31U);
  EXPECT_EQ(data.device_begin.back(), data.train.size());
  std::int64_t test = 0;
  for (std::size_t k = 0; k < 30; ++k) {
    const std::int64_t train = data.device_begin[k + 1] - data.device_begin[k];
    EXPECT_GE(train, 45);  // nine tenths of at least 50
    test += train / 9;     // a device of n has n - floor(0.9 n) test examples: train / 9 or one more
  }
  EXPECT_GE(data.test.size(), test);
  EXPECT_LE(data.test.size(), test + 30);
}

TEST(Synthetic, HasFeaturesWithTheVariancesOfTheFormula) {
  const Dataset data = synthetic({.iid = true, .devices = 100, .sigma = 1});
  for (const std::size_t j : {std::size_t{0}, std::size_t{9}, std::size_t{59}}) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t i = 0; i < data.train.size(); ++i) {
      const auto value = static_cast<double>(data.train.features[static_cast<std::size_t>(i) * 60 + j]);
      sum += value;
      squares += value * value;
    }
    const auto n = static_cast<double>(data.train.size());
    EXPECT_NEAR(sum / n, 0, 0.05);
    EXPECT_NEAR(squares / n / std::pow(static_cast<double>(j + 1), -1.2), 1, 0.1) << "feature " << j;
  }
}

TEST(Synthetic, HasDevicesOfTheLogNormalSizes) {
  const Dataset data = synthetic({.devices = 400, .sigma = 1}, 4);
  // E[LogNormal(4, 1)] + 50 = e^4.5 + 50 = 140.0, of which nine tenths are for training.
  EXPECT_NEAR(static_cast<double>(data.train.size()) / 400, 0.9 * 140.0, 16);
}

TEST(Synthetic, IsAFunctionOfItsSeed) {
  EXPECT_EQ(synthetic({.devices = 3}, 5).train.features, synthetic({.devices = 3}, 5).train.features);
  EXPECT_NE(synthetic({.devices = 3}, 5).train.labels, synthetic({.devices = 3}, 6).train.labels);
}

TEST(Synthetic, RefusesToFillTheMemory) {
  const auto data = load_dataset(
      {.name = "synthetic", .path = {}, .csv = {}, .synthetic = {.devices = 100'000, .sigma = 4}}, 1);
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, Code::kInvalidArgument);
}

TEST(DataIdentity, IsComparedWithinOneVersionOfReading) {
  EXPECT_FALSE(is_other_data(data_identity("a"), data_identity("a")));
  EXPECT_TRUE(is_other_data(data_identity("a"), data_identity("b")));
  for (const char* unknown : {"", "b", "0:b", "99:b"}) {
    EXPECT_FALSE(is_other_data(unknown, data_identity("a"))) << unknown;
    EXPECT_FALSE(is_other_data(data_identity("a"), unknown)) << unknown;
  }
}

}  // namespace
}  // namespace muster::learning
