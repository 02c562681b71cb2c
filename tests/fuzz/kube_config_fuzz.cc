// tests/fuzz/kube_config_fuzz.cc: kubeconfig files.
#include "kube/kube_config.h"
#include "tests/fuzz/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const muster::fuzz::Folder kFolder;
  const auto path = kFolder.write("config", muster::fuzz::text_of(data, size));
  const auto config = muster::kube::load_cluster_config({.path = path.string(), .context = {}});
  if (config) MUSTER_CHECK(config->server.starts_with("http") && config->identity != nullptr);
  if (!config) MUSTER_CHECK(!config.error().message.empty());
  return 0;
}
