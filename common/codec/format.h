#pragma once  // common/codec/format.h: the ways to write a number
#include <string_view>

namespace muster::codec {

enum class Format {
  kFloat32,   // exact
  kFloat16,   // IEEE binary16, to nearest; beyond 65504 infinite
  kBFloat16,  // to nearest
  kInt8,  // 8, 4, 2 bits: a sign and a level of the group's largest magnitude, rounded stochastically (QSGD)
  kInt4,
  kInt2,  // -1, 0, 1: TernGrad
  kE3M0,  // 4 bits: a sign and a power of two, rounded stochastically
  kSign,  // 1 bit: the sign, times the group's mean magnitude (EF-signSGD). Biased: it needs error feedback
};

[[nodiscard]] constexpr std::string_view format_name(Format format) {
  switch (format) {
    case Format::kFloat32: return "float32";
    case Format::kFloat16: return "float16";
    case Format::kBFloat16: return "bfloat16";
    case Format::kInt8: return "int8";
    case Format::kInt4: return "int4";
    case Format::kInt2: return "int2";
    case Format::kE3M0: return "e3m0";
    case Format::kSign: return "sign";
  }
  return "unknown";
}

[[nodiscard]] constexpr int format_bits(Format format) {
  switch (format) {
    case Format::kFloat32: return 32;
    case Format::kFloat16:
    case Format::kBFloat16: return 16;
    case Format::kInt8: return 8;
    case Format::kInt4:
    case Format::kE3M0: return 4;
    case Format::kInt2: return 2;
    case Format::kSign: return 1;
  }
  return 0;
}

// Whether each group carries a scale.
[[nodiscard]] constexpr bool format_has_scale(Format format) { return format_bits(format) < 16; }

}  // namespace muster::codec
