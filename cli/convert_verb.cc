// cli/convert_verb.cc: `muster convert FILE`: jobs of Kubeflow's operators as DistributedJobs
#include "cli/convert_verb.h"

#include "cli/console.h"
#include "cli/convert/convert.h"
#include "cli/exit_code.h"
#include "cli/files.h"
#include "cli/manifest.h"

namespace muster::cli {
namespace {

Result<Converted> convert_file(const std::string& file) {
  MUSTER_ASSIGN(const std::string text, read_file(file, kManifestBytesMax));
  return convert_manifests(text, file == "-" ? "standard input" : file);
}

}  // namespace

int convert(const ConvertOptions& options) {
  std::string all;  // written only if every file can be converted: half an answer would be applied, too
  std::vector<std::string> missing;
  for (const std::string& file : options.files) {
    const auto converted = convert_file(file);
    if (!converted) {
      print_error(converted.error().message);
      return kExitUsage;
    }
    if (!all.empty()) all += "---\n";
    all += converted->yaml;
    missing.insert(missing.end(), converted->missing.begin(), converted->missing.end());
  }
  Console out(Console::Stream::kOut);
  out.write(all);
  for (const std::string& what : missing) print_error(what);
  return finish(out);
}

}  // namespace muster::cli
