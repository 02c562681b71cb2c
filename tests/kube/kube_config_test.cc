// tests/kube/kube_config_test.cc: kubeconfig files, good and bad, and exec plugins
#include "kube/kube_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "kube/identity.h"
#include "kube/run_command.h"
#include "tests/support/temporary_folder.h"

namespace muster::kube {
namespace {

namespace fs = std::filesystem;

class KubeConfig : public ::testing::Test {
 protected:
  KubeConfig() {
    for (const char* variable : {"KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"})
      unsetenv(variable);
  }
  ~KubeConfig() override {
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    unsetenv("MUSTER_VOLUME_MAP");
    setenv("HOME", home_.c_str(), 1);
  }
  std::string write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  static std::string config(const std::string& cluster, const std::string& user,
                            const std::string& more = "") {
    return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
           "contexts: [{name: c, context: {cluster: k, user: u, namespace: team}}]\n"
           "clusters:\n- name: k\n  cluster: {server: 'https://10.0.0.1:6443/prefix/', " +
           cluster +
           "}\n"
           "users:\n- name: u\n  user: {" +
           user + "}\n" + more;
  }
  static void expect_error(const Result<ClusterConfig>& result, Code code, const std::string& part) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  }
  const std::string home_ = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "/";
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(KubeConfig, ReadsServerNamespaceAndToken) {
  const auto found =
      load_cluster_config({.path = write("k", config("tls-server-name: api", "token: secret"))});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->server, "https://10.0.0.1:6443/prefix");
  EXPECT_EQ(found->default_namespace, "team");
  EXPECT_EQ(found->tls_server_name, "api");
  EXPECT_EQ(found->identity->get()->bearer_token, "secret");
}

TEST_F(KubeConfig, FilesAreRelativeToTheirKubeconfigAndDataWins) {
  write("sub/ca.pem", "CA");
  write("sub/cert.pem", "CERT");
  write("sub/key.pem", "KEY");
  const auto found = load_cluster_config(
      {.path = write(
           "sub/k", config("certificate-authority: ca.pem",
                           "client-certificate: cert.pem, client-key: key.pem, client-key-data: S0VZMg=="))});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->ca_pem, "CA");
  EXPECT_EQ(found->identity->get()->client_certificate_pem, "CERT");
  EXPECT_EQ(found->identity->get()->client_key_pem, "KEY2");
}

TEST_F(KubeConfig, TheFirstFileOfTheListWins) {
  const std::string first =
      write("a", "kind: Config\ncurrent-context: c\nusers: [{name: u, user: {token: one}}]\n");
  const std::string second = write("b", config("", "token: two"));
  setenv("KUBECONFIG", (first + ":" + (folder_ / "missing").string() + ":" + second).c_str(), 1);
  const auto found = load_cluster_config();
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->identity->get()->bearer_token, "one");
}

TEST_F(KubeConfig, TokenFilesAreReadAgainAfterARefusalAndKeptWhenTheyVanish) {
  write("token", "one\n");
  const auto found = load_cluster_config({.path = write("k", config("", "tokenFile: token, token: other"))});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->identity->get()->bearer_token, "one");
  write("token", "two");
  EXPECT_EQ(found->identity->get()->bearer_token, "one");
  found->identity->invalidate();
  EXPECT_EQ(found->identity->get()->bearer_token, "two");
  fs::remove(folder_ / "token");
  found->identity->invalidate();
  EXPECT_EQ(found->identity->get()->bearer_token, "two");
}

TEST_F(KubeConfig, AControllerInAPodTakesThePodsAccountBeforeTheHomesFile) {
  write("home/.kube/config", config("", "token: home"));
  write("account/ca.crt", "CA");
  write("account/token", "sa");
  setenv("HOME", (folder_ / "home").c_str(), 1);
  // Without a cluster the volume lies elsewhere, and this variable says where.
  setenv("MUSTER_VOLUME_MAP", Json{{kAccountFolder, (folder_ / "account").string()}}.dump().c_str(), 1);
  EXPECT_EQ(load_cluster_config({.controller = true})->identity->get()->bearer_token, "home");
  setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  EXPECT_EQ(load_cluster_config()->identity->get()->bearer_token, "home");
  const auto found = load_cluster_config({.controller = true});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->in_pod);
  EXPECT_EQ(found->identity->get()->bearer_token, "sa");
}

TEST_F(KubeConfig, OfAPodsAccountNothingCanBeNamed) {
  write("account/ca.crt", "CA");
  write("account/token", "sa");
  setenv("HOME", (folder_ / "nobody").c_str(), 1);
  setenv("MUSTER_VOLUME_MAP", Json{{kAccountFolder, (folder_ / "account").string()}}.dump().c_str(), 1);
  setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  ASSERT_TRUE(load_cluster_config());
  expect_error(load_cluster_config({.context = "prod"}), Code::kNotFound, "--context prod");
  expect_error(load_cluster_config({.cluster = "prod"}), Code::kNotFound, "--cluster prod");
  expect_error(load_cluster_config({.user = "me"}), Code::kNotFound, "--user me");
}

TEST_F(KubeConfig, InClusterReadsTheServiceAccountAndNamesAnIpv6Server) {
  write("ca.crt", "CA");
  write("token", "sa");
  write("namespace", "team");
  expect_error(in_cluster_config(folder_), Code::kNotFound, "not a pod");
  setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  const auto found = in_cluster_config(folder_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->server, "https://kubernetes.default.svc:443");
  EXPECT_EQ(found->default_namespace, "team");
  EXPECT_EQ(found->identity->get()->bearer_token, "sa");
}

TEST_F(KubeConfig, BadFilesAreNamedWithTheFact) {
  expect_error(load_cluster_config({.path = "/nowhere/k"}), Code::kNotFound, "/nowhere/k: No such file");
  expect_error(load_cluster_config({.path = folder_.string()}), Code::kInvalidArgument, "is a folder");
  expect_error(load_cluster_config({.path = write("y", "a: [")}), Code::kInvalidArgument, ":1:1: not YAML");
  expect_error(load_cluster_config({.path = write("y", "text")}), Code::kInvalidArgument,
               "not a YAML object");
  expect_error(load_cluster_config({.path = write("y", "")}), Code::kInvalidArgument, "not a YAML object");
  expect_error(load_cluster_config({.path = write("y", "kind: Config")}), Code::kInvalidArgument,
               "no current-context");
  expect_error(load_cluster_config({.path = write("y", config("", "")), .context = "z"}),
               Code::kInvalidArgument, "no context \"z\"");
  setenv("KUBECONFIG", "/nowhere/a:/nowhere/b", 1);
  expect_error(load_cluster_config(), Code::kNotFound, "KUBECONFIG=/nowhere/a:/nowhere/b");
}

TEST_F(KubeConfig, AContextClusterOrUserThatIsNamedComesFirst) {
  const std::string two =
      write("two",
            "kind: Config\nclusters: [{name: far, cluster: {server: 'https://far:1'}}]\n"
            "users: [{name: admin, user: {token: two}}]\n"
            "contexts: [{name: d, context: {cluster: far, user: admin, namespace: other}}]\n");
  setenv("KUBECONFIG", (write("k", config("", "token: one")) + ":" + two).c_str(), 1);
  auto found = load_cluster_config({.context = "d"});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->server, "https://far:1");
  EXPECT_EQ(found->default_namespace, "other");
  EXPECT_EQ(found->identity->get()->bearer_token, "two");
  found = load_cluster_config({.user = "admin"});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->server, "https://10.0.0.1:6443/prefix");
  EXPECT_EQ(found->default_namespace, "team");
  EXPECT_EQ(found->identity->get()->bearer_token, "two");
  found = load_cluster_config({.cluster = "far"});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->server, "https://far:1");
  EXPECT_EQ(found->identity->get()->bearer_token, "one");
  setenv("KUBECONFIG", two.c_str(), 1);  // without a current context
  found = load_cluster_config({.cluster = "far", .user = "admin"});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->default_namespace, "default");
  expect_error(load_cluster_config({.cluster = "far"}), Code::kInvalidArgument, "no current-context");
  expect_error(load_cluster_config({.context = "d", .cluster = "near"}), Code::kInvalidArgument,
               "no cluster \"near\"");
  expect_error(load_cluster_config({.context = "d", .user = "nobody"}), Code::kInvalidArgument,
               "no user \"nobody\"");
}

TEST_F(KubeConfig, UnsupportedOrContradictoryFieldsAreRefused) {
  const auto with = [&](const std::string& cluster, const std::string& user) {
    return load_cluster_config({.path = write("k", config(cluster, user))});
  };
  expect_error(with("proxy-url: 'socks5://x'", ""), Code::kInvalidArgument, "proxy-url");
  expect_error(with("", "auth-provider: {name: gcp}"), Code::kInvalidArgument, "exec plugin");
  expect_error(with("", "as: admin"), Code::kInvalidArgument, "impersonation");
  expect_error(with("", "client-certificate-data: QQ=="), Code::kInvalidArgument, "together");
  expect_error(with("", "client-certificate-data: '*', client-key-data: QQ=="), Code::kInvalidArgument,
               "base64");
  expect_error(with("insecure-skip-tls-verify: true, certificate-authority-data: QQ==", ""),
               Code::kInvalidArgument, "exclude");
  expect_error(with("certificate-authority: missing.pem", ""), Code::kNotFound, "missing.pem");
  expect_error(with("", "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}"),
               Code::kInvalidArgument, "v1beta1");
}

TEST_F(KubeConfig, AnExecPluginIsAskedOnceUntilRefused) {
  const std::string plugin =
      write("bin/plugin",
            "#!/bin/sh\necho x >> \"$COUNT\"\ncase \"$KUBERNETES_EXEC_INFO\" in *ExecCredential*) ;; "
            "*) exit 3;; esac\n"
            "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","
            "\"status\":{\"token\":\"from-'$1'\"}}'\n");
  fs::permissions(plugin, fs::perms::owner_all);
  const std::string count = (folder_ / "count").string();
  const auto found = load_cluster_config(
      {.path = write(
           "k",
           config("",
                  "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/plugin, args: [a], "
                  "env: [{name: COUNT, value: " +
                      count + "}]}"))});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->identity->get()->bearer_token, "from-a");
  EXPECT_EQ(found->identity->get()->bearer_token, "from-a");
  EXPECT_EQ(fs::file_size(count), 2U);
  found->identity->invalidate();
  ASSERT_TRUE(found->identity->get());
  EXPECT_EQ(fs::file_size(count), 4U);
}

TEST(ExecCredential, BadAnswersAreRefused) {
  ExecPlugin plugin;
  plugin.command = "p";
  plugin.api_version = "client.authentication.k8s.io/v1";
  const std::string head = R"({"apiVersion":"client.authentication.k8s.io/v1",)";
  for (const std::string& text :
       {std::string("nonsense"), std::string("{}"), head + R"("status":{}})",
        head + R"("status":{"token":5}})", head + R"("status":{"clientCertificateData":"x"}})",
        head + R"("status":{"token":"t","expirationTimestamp":"soon"}})",
        std::string(R"({"apiVersion":"other","status":{"token":"t"}})")}) {
    EXPECT_FALSE(parse_exec_credential(text, plugin)) << text;
  }
  EXPECT_TRUE(parse_exec_credential(
      head + R"("status":{"token":"t","expirationTimestamp":"2030-01-02T03:04:05Z"}})", plugin));
}

TEST(RunCommand, NamesWhatWentWrong) {
  const auto run = [](const std::string& script, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    return run_command(
        {.program = "/bin/sh", .arguments = {"-c", script}, .environment = {}, .timeout = limit});
  };
  EXPECT_EQ(*run("echo hello"), "hello\n");
  EXPECT_EQ(run("exit 3").error().message, "exit code 3");
  EXPECT_EQ(run("kill -9 $$").error().message, "was ended by signal 9");
  EXPECT_EQ(run("exec sleep 60", std::chrono::milliseconds(50)).error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(run("yes").error().code, Code::kResourceExhausted);
  EXPECT_EQ(run_command({.program = "/nowhere/p", .arguments = {}, .environment = {}}).error().code,
            Code::kNotFound);
}

}  // namespace
}  // namespace muster::kube
