// kube/identity.cc: credentials out of values, token files and exec plugins
#include "kube/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "common/base/rfc3339.h"
#include "common/json/read_json.h"
#include "common/platform/mutex.h"
#include "kube/run_command.h"

namespace muster::kube {
namespace {

constexpr std::chrono::seconds kTokenFileAge{50};  // client-go: a minute less 10 s leeway
constexpr std::chrono::seconds kExpiryLeeway{10};
constexpr std::size_t kPluginOutputBytesMax = 1U << 20U;

class StaticIdentity final : public IdentitySource {
 public:
  explicit StaticIdentity(Identity identity) : identity_(std::move(identity)) {}
  Result<Identity> get() override { return identity_; }
  void invalidate() override {}

 private:
  Identity identity_;
};

class TokenFileIdentity final : public IdentitySource {
 public:
  TokenFileIdentity(Identity base, std::filesystem::path file)
      : file_(std::move(file)), identity_(std::move(base)) {}

  Result<Identity> get() override {
    const MutexLock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!identity_.bearer_token.empty() && now < fresh_until_) return identity_;
    if (std::string token = read(); !token.empty()) {
      identity_.bearer_token = std::move(token);
      fresh_until_ = now + kTokenFileAge;
    } else if (identity_.bearer_token.empty()) {
      return Error{Code::kUnauthenticated,
                   fmt::format("cannot read a token from {}; check that the file exists and is readable",
                               file_.string())};
    }
    return identity_;
  }
  void invalidate() override {
    const MutexLock lock(mutex_);
    fresh_until_ = {};
  }

 private:
  [[nodiscard]] std::string read() const {
    std::ifstream in(file_);
    std::string token;
    std::getline(in, token, '\0');
    const auto last = token.find_last_not_of(" \t\r\n");
    token.erase(last == std::string::npos ? 0 : last + 1);
    return token;
  }

  const std::filesystem::path file_;
  Mutex mutex_;
  Identity identity_ MUSTER_GUARDED_BY(mutex_);
  Instant fresh_until_ MUSTER_GUARDED_BY(mutex_){};
};

class ExecIdentity final : public IdentitySource {
 public:
  explicit ExecIdentity(ExecPlugin plugin) : plugin_(std::move(plugin)) {}

  Result<Identity> get() override {
    const MutexLock lock(mutex_);
    const bool fresh = have_ && (!credential_.expires ||
                                 std::chrono::system_clock::now() + kExpiryLeeway < *credential_.expires);
    if (fresh) return credential_.identity;
    MUSTER_ASSIGN(credential_, run());
    have_ = true;
    return credential_.identity;
  }
  void invalidate() override {
    const MutexLock lock(mutex_);
    have_ = false;
  }

 private:
  [[nodiscard]] Result<ExecCredential> run() const {
    Json info{{"apiVersion", plugin_.api_version},
              {"kind", "ExecCredential"},
              {"spec", {{"interactive", plugin_.interactive}}}};
    if (!plugin_.cluster.is_null()) info["spec"]["cluster"] = plugin_.cluster;
    Command command{.program = plugin_.command,
                    .arguments = plugin_.arguments,
                    .environment = plugin_.environment,
                    .keep_stdin = plugin_.interactive,
                    .timeout = plugin_.timeout,
                    .output_bytes_max = kPluginOutputBytesMax};
    command.environment.emplace_back("KUBERNETES_EXEC_INFO", info.dump());
    const auto output = run_command(command);
    if (!output) {
      const std::string hint = plugin_.install_hint.empty() ? "" : "; " + plugin_.install_hint;
      return Error{Code::kUnauthenticated,
                   fmt::format("credential plugin {}: {}{}", plugin_.command, output.error().message, hint)};
    }
    return parse_exec_credential(*output, plugin_);
  }

  const ExecPlugin plugin_;
  Mutex mutex_;
  ExecCredential credential_ MUSTER_GUARDED_BY(mutex_);
  bool have_ MUSTER_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::shared_ptr<IdentitySource> static_identity(Identity identity) {
  return std::make_shared<StaticIdentity>(std::move(identity));
}
std::shared_ptr<IdentitySource> token_file_identity(Identity base, std::filesystem::path file) {
  return std::make_shared<TokenFileIdentity>(std::move(base), std::move(file));
}
std::shared_ptr<IdentitySource> exec_identity(ExecPlugin plugin) {
  return std::make_shared<ExecIdentity>(std::move(plugin));
}

Result<ExecCredential> parse_exec_credential(const std::string& text, const ExecPlugin& plugin) {
  const Json answer = read_json(text);
  const auto bad = [&](std::string_view fact) {
    return Error{
        Code::kUnauthenticated,
        fmt::format("credential plugin {}: {}; run it by hand to see what it prints", plugin.command, fact)};
  };
  if (!answer.is_object() || !answer.contains("status") || !answer["status"].is_object()) {
    return bad("its output is not an ExecCredential with a status");
  }
  if (answer.value("apiVersion", Json()) != plugin.api_version) {
    return bad(fmt::format("it did not answer in {}", plugin.api_version));
  }
  const Json& status = answer["status"];
  ExecCredential credential;
  for (const auto& [name, out] : {std::pair{"token", &credential.identity.bearer_token},
                                  {"clientCertificateData", &credential.identity.client_certificate_pem},
                                  {"clientKeyData", &credential.identity.client_key_pem}}) {
    if (!status.contains(name)) continue;
    if (!status[name].is_string()) return bad(fmt::format("status.{} is not text", name));
    *out = status[name].get<std::string>();
  }
  const Identity& identity = credential.identity;
  if (identity.client_certificate_pem.empty() != identity.client_key_pem.empty()) {
    return bad("it gave a certificate without a key or a key without a certificate");
  }
  if (identity.bearer_token.empty() && identity.client_certificate_pem.empty()) {
    return bad("it gave neither a token nor a certificate");
  }
  if (const auto expires = status.find("expirationTimestamp");
      expires != status.end() && expires->is_string()) {
    const auto time = parse_rfc3339(expires->get_ref<const std::string&>());
    if (!time) return bad("status.expirationTimestamp is not a time");
    credential.expires = *time;
  }
  return credential;
}

}  // namespace muster::kube
