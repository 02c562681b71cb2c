// Service accounts: their tokens, what their roles give, and what the audit log says of them.
#include <gmock/gmock.h>

#include <fstream>

#include "common/base/rfc3339.h"
#include "local/api/audit_log.h"
#include "local/tests/api/harness.h"
#include "tests/support/temporary_folder.h"

namespace muster::local {
namespace {

using testing::HasSubstr;

const std::string kDefault = "/api/v1/namespaces/default/";
const std::string kRbac = "/apis/rbac.authorization.k8s.io/v1/";

class Accounts : public ::testing::Test {
 protected:
  Accounts() : audit_(*AuditLog::open(folder_.path() / "audit.log")), api_(options(audit_.get())) {
    EXPECT_EQ(status("secret", "POST", kDefault + "serviceaccounts", {{"metadata", {{"name", "robot"}}}}),
              201);
  }
  static HttpApi::Options options(AuditLog* audit) {
    return {.token = "secret", .watch_list = {}, .audit = audit};
  }

  HttpResponse call(const std::string& token, const std::string& method, const std::string& target,
                    const Json& body = nullptr) {
    HttpRequest request;
    request.method = method;
    EXPECT_TRUE(parse_target(target, request.path, request.query));
    if (!body.is_null()) request.body = body.dump();
    request.headers["content-type"] = "application/json";
    request.headers["user-agent"] = "test/1";
    if (!token.empty()) request.headers["authorization"] = "Bearer " + token;
    return api_.http.handle(request);
  }
  int status(const std::string& token, const std::string& method, const std::string& target,
             const Json& body = nullptr) {
    return call(token, method, target, body).status;
  }
  std::string token(const Json& spec = Json::object()) {
    const auto answer = call("secret", "POST", kDefault + "serviceaccounts/robot/token", {{"spec", spec}});
    EXPECT_EQ(answer.status, 201) << answer.body;
    return Json::parse(answer.body)["status"].value("token", "");
  }
  // Gives robot `rules`: in the namespace default, or everywhere.
  void grant(const Json& rules, bool everywhere = false) {
    const std::string where = everywhere ? kRbac + "cluster" : kRbac + "namespaces/default/";
    const Json subjects =
        Json::array({{{"kind", "ServiceAccount"}, {"name", "robot"}, {"namespace", "default"}}});
    ASSERT_EQ(status("secret", "POST", where + "roles", {{"metadata", {{"name", "r"}}}, {"rules", rules}}),
              201);
    const Json role{{"apiGroup", "rbac.authorization.k8s.io"},
                    {"kind", everywhere ? "ClusterRole" : "Role"},
                    {"name", "r"}};
    ASSERT_EQ(status("secret", "POST", where + "rolebindings",
                     {{"metadata", {{"name", "b"}}}, {"roleRef", role}, {"subjects", subjects}}),
              201);
  }

  TemporaryFolder folder_;
  std::unique_ptr<AuditLog> audit_;
  Api api_;
};

Json rule(std::vector<std::string> verbs, const std::string& group, std::vector<std::string> resources) {
  return {
      {"verbs", std::move(verbs)}, {"apiGroups", Json::array({group})}, {"resources", std::move(resources)}};
}

TEST_F(Accounts, AnAccountWithoutRolesMayOnlyLookAround) {
  const std::string robot = token();
  for (const char* path : {"/api", "/apis", "/version", "/healthz", "/openapi/v2", "/apis/apps/v1"})
    EXPECT_EQ(status(robot, "GET", path), 200) << path;
  const auto refused = call(robot, "GET", kDefault + "pods/p");
  EXPECT_EQ(refused.status, 403);
  const Json answer = Json::parse(refused.body);
  EXPECT_EQ(answer["reason"], "Forbidden");
  EXPECT_EQ(answer["message"],
            "pods \"p\" is forbidden: User \"system:serviceaccount:default:robot\" cannot get resource "
            "\"pods\" in API "
            "group \"\" in the namespace \"default\"");
  EXPECT_THAT(
      call(robot, "GET", "/apis/apps/v1/deployments").body,
      HasSubstr("deployments.apps is forbidden: User \\\"system:serviceaccount:default:robot\\\" cannot list "
                "resource \\\"deployments\\\" in API group \\\"apps\\\" at the cluster scope"));
  EXPECT_EQ(status("", "GET", kDefault + "pods"), 401);
}

TEST_F(Accounts, RolesGiveVerbsOnResourcesInTheirNamespace) {
  Json named = rule({"get", "update"}, "coordination.k8s.io", {"leases"});
  named["resourceNames"] = Json::array({"mine"});
  grant(Json::array({rule({"list", "watch", "create"}, "", {"configmaps"}), rule({"get"}, "", {"pods/log"}),
                     rule({"patch"}, "", {"*/status"}), named}));
  const std::string robot = token();
  struct Case {
    const char* method;
    std::string path;
    bool allowed;
  };
  const std::string leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
  for (const Case& each : {Case{"GET", kDefault + "configmaps", true},
                           {"GET", kDefault + "configmaps?watch=true&timeoutSeconds=1", true},
                           {"POST", kDefault + "configmaps", true},
                           {"GET", kDefault + "configmaps/c", false},
                           {"DELETE", kDefault + "configmaps/c", false},
                           {"DELETE", kDefault + "configmaps", false},
                           {"GET", "/api/v1/configmaps", false},
                           {"GET", "/api/v1/namespaces/kube-system/configmaps", false},
                           {"GET", kDefault + "pods/p/log", true},
                           {"GET", kDefault + "pods/p", false},
                           {"PATCH", kDefault + "pods/p/status", true},
                           {"PATCH", kDefault + "pods/p", false},
                           {"GET", leases + "/mine", true},
                           {"GET", leases + "/yours", false},
                           {"GET", leases, false},
                           {"POST", leases, false},
                           {"GET", "/apis/example.dev/v1/things", false}}) {
    const int code = status(robot, each.method, each.path, {{"metadata", {{"name", "c"}}}});
    EXPECT_EQ(code != 403, each.allowed) << each.method << " " << each.path << " " << code;
  }
}

TEST_F(Accounts, ClusterRolesGiveThemEverywhereUntilTheyAreWithdrawn) {
  grant(Json::array({rule({"*"}, "*", {"*"})}), true);
  const std::string robot = token();
  EXPECT_EQ(status(robot, "GET", "/api/v1/namespaces/kube-system/configmaps"), 200);
  EXPECT_EQ(status(robot, "GET", "/api/v1/nodes"), 200);
  EXPECT_EQ(status("secret", "DELETE", kRbac + "clusterrolebindings/b"), 200);
  EXPECT_EQ(status(robot, "GET", "/api/v1/nodes"), 403);
}

TEST_F(Accounts, OnlyWhoMayDoEverythingMayAskAsAnother) {
  grant(Json::array({rule({"get"}, "", {"configmaps"})}));
  const auto as = [&](const std::string& token, const std::string& name, const std::string& path) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.headers["authorization"] = "Bearer " + token;
    request.headers["impersonate-user"] = name;
    return api_.http.handle(request).status;
  };
  const std::string robot = "system:serviceaccount:default:robot";
  EXPECT_EQ(as("secret", robot, kDefault + "configmaps/kube-root-ca.crt"), 200);
  EXPECT_EQ(as("secret", robot, kDefault + "pods"), 403);
  EXPECT_EQ(as("secret", "jane", kDefault + "configmaps/kube-root-ca.crt"), 403);
  EXPECT_EQ(as(token(), robot, kDefault + "configmaps/kube-root-ca.crt"), 403);
}

TEST_F(Accounts, ATokenEndsWithItsAccountAndItsPod) {
  const Json pod{{"metadata", {{"name", "p"}}},
                 {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "x"}}})}}}};
  ASSERT_EQ(status("secret", "POST", kDefault + "pods", pod), 201);
  const std::string of_pod = token({{"boundObjectRef", {{"kind", "Pod"}, {"name", "p"}}}});
  const std::string of_account = token();
  EXPECT_EQ(status(of_pod, "GET", "/api"), 200);
  EXPECT_EQ(status(of_pod.substr(0, of_pod.size() - 2) + "xx", "GET", "/api"), 401);
  ASSERT_EQ(status("secret", "DELETE", kDefault + "pods/p?gracePeriodSeconds=0"), 200);
  EXPECT_EQ(status(of_pod, "GET", "/api"), 401);
  EXPECT_EQ(status(of_account, "GET", "/api"), 200);
  ASSERT_EQ(status("secret", "DELETE", kDefault + "serviceaccounts/robot"), 200);
  EXPECT_EQ(status(of_account, "GET", "/api"), 401);
}

TEST_F(Accounts, ATokenEndsWithItsTime) {
  const AccountTokens& tokens = api_.http.account_tokens();
  const WallTime now = clock_time(1'800'000'000);
  const auto issued = tokens.issue({.ns = "default", .account = "robot", .pod = "", .pod_uid = ""}, now);
  ASSERT_TRUE(issued);
  EXPECT_EQ(issued->expires, now + std::chrono::hours(1));
  ASSERT_TRUE(tokens.user_of(issued->text, issued->expires - std::chrono::seconds(1)));
  EXPECT_EQ(tokens.user_of(issued->text, now)->groups,
            (std::vector<std::string>{"system:serviceaccounts", "system:serviceaccounts:default",
                                      "system:authenticated"}));
  EXPECT_FALSE(tokens.user_of(issued->text, issued->expires));
  EXPECT_EQ(status("secret", "POST", kDefault + "serviceaccounts/nobody/token", Json::object()), 404);
  EXPECT_EQ(status("secret", "POST", kDefault + "serviceaccounts/robot/token",
                   {{"spec", {{"audiences", Json::array({"vault"})}}}}),
            400);
}

TEST_F(Accounts, ReviewsAnswerForWhoeverAsksAndForOthers) {
  grant(Json::array({rule({"get"}, "", {"pods"})}));
  const Json pods{{"verb", "get"}, {"resource", "pods"}, {"namespace", "default"}};
  const auto ask = [&](const std::string& who, const std::string& kind, Json spec) {
    const char* group = kind.find("Access") != std::string::npos || kind.find("Rules") != std::string::npos
                            ? "authorization"
                            : "authentication";
    std::string plural = kind + "s";
    for (char& c : plural) c = static_cast<char>(std::tolower(c));
    return Json::parse(
        call(who, "POST", std::string("/apis/") + group + ".k8s.io/v1/" + plural, {{"spec", std::move(spec)}})
            .body)["status"];
  };
  const std::string robot = token();
  EXPECT_EQ(ask(robot, "SelfSubjectReview", {})["userInfo"]["username"],
            "system:serviceaccount:default:robot");
  EXPECT_EQ(ask("secret", "TokenReview", {{"token", robot}})["user"]["username"],
            "system:serviceaccount:default:robot");
  EXPECT_EQ(ask("secret", "TokenReview", {{"token", robot + "x"}})["error"], "invalid token");
  EXPECT_EQ(ask(robot, "SelfSubjectAccessReview", {{"resourceAttributes", pods}})["allowed"], true);
  Json nodes = pods;
  nodes["resource"] = "nodes";
  EXPECT_EQ(ask(robot, "SelfSubjectAccessReview", {{"resourceAttributes", nodes}})["allowed"], false);
  const Json other{{"resourceAttributes", nodes}, {"user", "system:serviceaccount:default:robot"}};
  EXPECT_EQ(ask("secret", "SubjectAccessReview", other)["allowed"], false);
  EXPECT_EQ(ask("secret", "SelfSubjectAccessReview", {{"resourceAttributes", nodes}})["allowed"], true);
  EXPECT_EQ(ask(robot, "SelfSubjectRulesReview", {{"namespace", "default"}})["resourceRules"],
            Json::array({rule({"get"}, "", {"pods"})}));
}

TEST_F(Accounts, PodsGetTheirAccountsTokenUnlessPodOrAccountWantNone) {
  const auto volumes = [&](const std::string& name, const Json& pod_wish) {
    Json pod{
        {"metadata", {{"name", name}}},
        {"spec",
         {{"serviceAccountName", "robot"}, {"containers", Json::array({{{"name", "c"}, {"image", "x"}}})}}}};
    pod["spec"].merge_patch(pod_wish);
    return Json::parse(call("secret", "POST", kDefault + "pods", pod).body)["spec"].contains("volumes");
  };
  const char* wish = "automountServiceAccountToken";
  EXPECT_TRUE(volumes("a", Json::object()));
  EXPECT_FALSE(volumes("b", {{wish, false}}));
  ASSERT_EQ(status("secret", "PUT", kDefault + "serviceaccounts/robot",
                   {{"metadata", {{"name", "robot"}}}, {wish, false}}),
            200);
  EXPECT_FALSE(volumes("c", Json::object()));
  EXPECT_TRUE(volumes("d", {{wish, true}}));
}

TEST_F(Accounts, TheAuditLogSaysWhoAskedForWhat) {
  const std::string robot = token();
  (void)call(robot, "GET", kDefault + "secrets?fieldSelector=metadata.name%3Dmine");
  (void)call("secret", "POST", kDefault + "configmaps", config_map("made"));
  (void)call("secret", "GET", kDefault + "pods?watch=1&timeoutSeconds=1");
  (void)call("secret", "GET", "/version");
  std::ifstream in(folder_.path() / "audit.log");
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  ASSERT_EQ(lines.size(), 6u);  // with the account and its token
  EXPECT_EQ(lines[1]["objectRef"], (Json{{"resource", "serviceaccounts"},
                                         {"namespace", "default"},
                                         {"name", "robot"},
                                         {"apiVersion", "v1"},
                                         {"subresource", "token"}}));
  EXPECT_EQ(lines[2]["user"]["username"], "system:serviceaccount:default:robot");
  EXPECT_EQ(lines[2]["verb"], "list");
  EXPECT_EQ(lines[2]["objectRef"]["name"], "mine");
  EXPECT_EQ(lines[2]["annotations"]["authorization.k8s.io/decision"], "forbid");
  EXPECT_EQ(lines[2]["responseStatus"]["code"], 403);
  EXPECT_EQ(lines[3]["verb"], "create");
  EXPECT_EQ(lines[3]["objectRef"]["name"], "made");
  EXPECT_EQ(lines[3]["stage"], "ResponseComplete");
  EXPECT_EQ(lines[3]["annotations"]["authorization.k8s.io/decision"], "allow");
  EXPECT_EQ(lines[4]["verb"], "watch");
  EXPECT_EQ(lines[4]["stage"], "ResponseStarted");
  EXPECT_EQ(lines[5]["verb"], "get");
  EXPECT_FALSE(lines[5].contains("objectRef"));
}

}  // namespace
}  // namespace muster::local
