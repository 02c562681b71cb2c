// cli/embed_crds.cc: writes a .cc that holds the definitions of crds/ as JSON, so that no start parses YAML.
// Run by the build: embed_crds OUTPUT INPUT...
#include <fstream>
#include <iostream>
#include <iterator>

#include "common/yaml/yaml.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: embed_crds OUTPUT INPUT...\n";
    return 2;
  }
  std::ofstream out(argv[1]);
  out << "// Generated from crds/ by cli/embed_crds.cc.\n#include \"cli/embedded_crds.h\"\n\n"
         "namespace muster::cli {\n\nstd::vector<std::string> embedded_crds() {\n  return {\n";
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i]);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto documents = muster::parse_yaml(text, argv[i]);
    if (!file || !documents) {
      std::cerr << "embed_crds: "
                << (documents ? std::string("cannot read ") + argv[i] : documents.error().message) << "\n";
      return 1;
    }
    for (const muster::YamlDocument& document : *documents)
      out << "      R\"muster_crd(" << document.value.dump() << ")muster_crd\",\n";
  }
  out << "  };\n}\n\n}  // namespace muster::cli\n";
  out.close();
  return out ? 0 : 1;
}
