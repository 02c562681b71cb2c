// tests/fuzz/convert_fuzz.cc: manifests of other operators: what comes out is YAML again.
#include "cli/convert/convert.h"
#include "common/yaml/yaml.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto converted = muster::cli::convert_manifests(muster::fuzz::text_of(data, size), "fuzz.yaml");
  if (!converted) return 0;
  MUSTER_CHECK(muster::parse_yaml(converted->yaml, "again.yaml").has_value());
  return 0;
}
