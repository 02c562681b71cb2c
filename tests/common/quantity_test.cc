// tests/common/quantity_test.cc: resource quantities as Kubernetes writes them
#include "common/base/quantity.h"

#include <gtest/gtest.h>

#include <utility>

namespace muster {
namespace {

TEST(Quantity, ReadsNumbersSuffixesAndExponents) {
  for (const auto& [text, value] : {std::pair<const char*, long double>{"0", 0},
                                    {"500m", 0.5L},
                                    {"2", 2},
                                    {"+.5", 0.5L},
                                    {"-3.", -3},
                                    {"1k", 1e3L},
                                    {"64Mi", 64.0L * 1024 * 1024},
                                    {"1e3", 1e3L},
                                    {"2E-2", 0.02L},
                                    {"1E", 1e18L},
                                    {"1Ei", 0x1p60L}}) {
    const auto read = parse_quantity(text);
    ASSERT_TRUE(read) << text;
    EXPECT_NEAR(static_cast<double>(read->value), static_cast<double>(value),
                1e-9 * static_cast<double>(value < 0 ? -value : value))
        << text;
  }
  EXPECT_TRUE(parse_quantity("1Ki")->binary);
  EXPECT_TRUE(parse_quantity("1e3")->exponent);
  EXPECT_FALSE(parse_quantity("1E")->exponent);
}

TEST(Quantity, RefusesWhatIsNone) {
  for (const char* bad : {"", "x", ".", "+", "1x", "Mi", "1 Mi", " 1", "nan", "inf", "0x10", "1..2", "1e",
                          "1e+", "1e99999", "1mi"})
    EXPECT_FALSE(parse_quantity(bad)) << bad;
}

TEST(Quantity, KnowsItsSuffixes) {
  EXPECT_STREQ(quantity_suffix(2, 20), "Mi");
  EXPECT_STREQ(quantity_suffix(10, -3), "m");
  EXPECT_EQ(quantity_suffix(10, 4), nullptr);
}

}  // namespace
}  // namespace muster
