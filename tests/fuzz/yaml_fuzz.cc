// tests/fuzz/yaml_fuzz.cc: YAML texts, by the API server's reader, by the command line's, and as a manifest.
#include "cli/manifest.h"
#include "cli/yaml.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(muster::fuzz::text_of(data, size));
  (void)muster::cli::parse_manifest(text, "fuzz.yaml");
  const auto documents = muster::cli::parse_yaml(text, "fuzz.yaml");
  if (!documents) return 0;
  for (const auto& document : *documents) {
    const std::string written = muster::cli::to_yaml(document.value);
    const auto again = muster::cli::parse_yaml(written, "again.yaml");
    MUSTER_CHECK(again.has_value());
    if (!document.value.is_null()) MUSTER_CHECK(again->size() == 1 && again->front().value == document.value);
  }
  return 0;
}
