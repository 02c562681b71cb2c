// tests/learning/openblas_test.cc: which kernels, and that the program runs with them
#include "learning/openblas.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "learning/model.h"

namespace muster::learning {
namespace {

TEST(OpenBlas, AProcessorThatItDoesNotKnowHasTheKernelsThatItCanRun) {
  EXPECT_STREQ(better_kernels("Prescott", {.avx2 = true, .avx512 = true}).value_or(""), "SkylakeX");
  EXPECT_STREQ(better_kernels("Prescott", {.avx2 = true}).value_or(""), "Haswell");
  EXPECT_FALSE(better_kernels("Prescott", {})) << "it is one";
  EXPECT_FALSE(better_kernels("Zen", {.avx2 = true, .avx512 = true})) << "it knows better";
  EXPECT_FALSE(better_kernels("", {.avx2 = true})) << "BLAS is another";
}

TEST(OpenBlas, ProgramsThatTrainRunWithThem) {
  if (openblas_kernels().empty()) GTEST_SKIP() << "BLAS is another library";
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) GTEST_SKIP() << "OPENBLAS_CORETYPE is set";
  set_compute_threads(1);  // of a program that trains
  EXPECT_FALSE(better_kernels(openblas_kernels(), cpu_features())) << openblas_kernels();
}

}  // namespace
}  // namespace muster::learning
