// tests/worker/nccl/library_test.cc: what is said where NCCL, the CUDA runtime or a GPU is missing
#include "worker/nccl/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/nccl/fake.h"

namespace muster::worker::nccl::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Error error_of(const Library::Names& names) {
  const auto loaded = Library::load(names);
  EXPECT_FALSE(loaded);
  return loaded ? Error{} : loaded.error();
}

TEST(NcclLibrary, IsFoundWithItsVersion) {
  const auto loaded = Library::load(names_of(Fake::kCurrent));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(version_words((*loaded)->version()), "2.32.3");
  EXPECT_TRUE((*loaded)->can_shrink());
  const auto old = Library::load(names_of(Fake::kOld));
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_FALSE((*old)->can_shrink());
}

TEST(NcclLibrary, AMissingOneIsNamedWithWhatWasTriedAndTheRemedy) {
  Library::Names names = names_of(Fake::kCurrent);
  names.nccl = {"libnccl-is-not-here.so.2"};
  const Error nccl = error_of(names);
  EXPECT_EQ(nccl.code, Code::kFailedPrecondition);
  EXPECT_THAT(
      nccl.message,
      AllOf(HasSubstr("NCCL cannot be loaded (libnccl-is-not-here.so.2: cannot open shared object file"),
            HasSubstr("LD_LIBRARY_PATH"), HasSubstr("topology: Ring")));
  names.cuda = {"libcudart-a.so", "libcudart-b.so"};
  EXPECT_THAT(error_of(names).message, AllOf(HasSubstr("the CUDA runtime cannot be loaded"),
                                             HasSubstr("libcudart-a.so"), HasSubstr("libcudart-b.so")));
}

TEST(NcclLibrary, OneThatLacksAFunctionIsNamed) {
  const Error error = error_of({.nccl = {"libm.so.6"}, .cuda = names_of(Fake::kCurrent).cuda});
  EXPECT_THAT(error.message, HasSubstr("NCCL has no ncclGetVersion; use a newer one"));
}

TEST(NcclLibrary, WithoutAGpuTheDriversWordsAreTold) {
  const Faulty faulty("call=cudaGetDeviceCount do=fail=100");
  const Error error = error_of(names_of(Fake::kCurrent));
  EXPECT_EQ(error.code, Code::kFailedPrecondition);
  EXPECT_THAT(error.message, AllOf(HasSubstr("sees no GPU (no CUDA-capable device is detected)"),
                                   HasSubstr("nvidia.com/gpu: 1")));
}

}  // namespace
}  // namespace muster::worker::nccl::test
