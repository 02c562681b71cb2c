#pragma once  // kube/identity.h: where credentials come from: values, a token file, an exec plugin
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/json/fields.h"
#include "kube/kube_config.h"

namespace muster::kube {

[[nodiscard]] std::shared_ptr<IdentitySource> static_identity(Identity identity);

// `base` with the bearer token in `file`, read again every 50 s (a minute less leeway) and after
// invalidate(). When a later read fails, the old token is kept.
[[nodiscard]] std::shared_ptr<IdentitySource> token_file_identity(Identity base, std::filesystem::path file);

struct ExecPlugin {
  std::string command;  // with a slash: a path; else looked up in PATH
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string api_version;   // client.authentication.k8s.io/v1 or v1beta1
  std::string install_hint;  // shown when the command is missing
  bool interactive = false;  // may use our terminal
  Json cluster;              // KUBERNETES_EXEC_INFO's spec.cluster; null: not asked for
  std::chrono::milliseconds timeout{60'000};
};

// Runs the plugin when first asked, again shortly before its answer expires and after invalidate().
[[nodiscard]] std::shared_ptr<IdentitySource> exec_identity(ExecPlugin plugin);

// Reads the plugin's ExecCredential; pure.
struct ExecCredential {
  Identity identity;
  std::optional<WallTime> expires;
};
[[nodiscard]] Result<ExecCredential> parse_exec_credential(const std::string& text, const ExecPlugin& plugin);

}  // namespace muster::kube
