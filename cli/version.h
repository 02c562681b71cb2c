#pragma once  // cli/version.h: `muster version`
#include <string>

namespace muster::cli {

struct VersionOptions {
  std::string kubeconfig;
  bool client_only = false;
  bool json = false;
};

[[nodiscard]] int version(const VersionOptions& options);

}  // namespace muster::cli
