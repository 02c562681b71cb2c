// tests/fuzz/yaml_fuzz.cc: YAML texts, as values and as a manifest.
#include "cli/manifest.h"
#include "common/yaml/yaml.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(muster::fuzz::text_of(data, size));
  (void)muster::cli::parse_manifest(text, "fuzz.yaml");
  const auto documents = muster::parse_yaml(text, "fuzz.yaml");
  if (!documents) return 0;
  for (const auto& document : *documents) {
    const std::string written = muster::to_yaml(document.value);
    const auto again = muster::parse_yaml(written, "again.yaml");
    MUSTER_CHECK(again.has_value());
    if (!document.value.is_null()) MUSTER_CHECK(again->size() == 1 && again->front().value == document.value);
  }
  return 0;
}
