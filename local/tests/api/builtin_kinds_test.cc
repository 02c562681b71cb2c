// Built-in kinds as a real server judges, completes and patches them. The texts are those of Kubernetes 1.26
// and 1.33.
#include <gmock/gmock.h>

#include "local/tests/api/harness.h"

namespace muster::local {
namespace {

using testing::HasSubstr;

const std::string kDefault = "/api/v1/namespaces/default/";
const std::string kDeployments = "/apis/apps/v1/namespaces/default/deployments";

Json pod(const Json& changes) {
  Json object{{"metadata", {{"name", "p"}}},
              {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", "x"}}})}}}};
  object.merge_patch(changes);
  return object;
}

Json deployment(const std::string& image) {
  return Json{{"apiVersion", "apps/v1"},
              {"kind", "Deployment"},
              {"metadata", {{"name", "d"}}},
              {"spec",
               {{"selector", {{"matchLabels", {{"a", "b"}}}}},
                {"template",
                 {{"metadata", {{"labels", {{"a", "b"}}}}},
                  {"spec", {{"containers", Json::array({{{"name", "c"}, {"image", image}}})}}}}}}}};
}

TEST(BuiltinKinds, WhatARealServerRefusesIsRefused) {
  struct Case {
    const char* plural;
    Json body;
    const char* message;
  };
  const auto service = [](Json spec) {
    return Json{{"metadata", {{"name", "s"}}}, {"spec", std::move(spec)}};
  };
  const Json port{{"port", 80}};
  const std::vector<Case> cases = {
      {"services", service({{"ports", {port}}, {"clusterIP", "1.2.3"}}),
       "spec.clusterIPs[0]: Invalid value: \"1.2.3\": must be a valid IP address"},
      {"services", service({{"ports", {{{"port", 80}, {"targetPort", "NOT_OK"}}}}}),
       "spec.ports[0].targetPort: Invalid value: \"NOT_OK\": must contain at least one letter (a-z)"},
      {"services", service({{"type", "ExternalName"}}), "spec.externalName: Required value"},
      {"services", service({{"ports", {port}}, {"sessionAffinity", "Foo"}}),
       "spec.sessionAffinity: Unsupported value: \"Foo\": supported values: \"ClientIP\", \"None\""},
      {"secrets",
       {{"metadata", {{"name", "s"}}}, {"type", "kubernetes.io/service-account-token"}},
       "metadata.annotations[kubernetes.io/service-account.name]: Required value"},
      {"pods", pod({{"spec", {{"priorityClassName", "nope"}}}}),
       "pods \"p\" is forbidden: no PriorityClass with name nope was found"},
      {"pods", pod({{"spec", {{"serviceAccountName", "nope"}}}}),
       "error looking up service account default/nope: serviceaccount \"nope\" not found"},
      {"pods", pod({{"spec", {{"volumes", {{{"name", "v"}, {"hostPath", {{"path", "../x"}}}}}}}}}),
       "spec.volumes[0].hostPath.path: Invalid value: \"../x\": must not contain '..'"},
      {"pods", pod({{"spec", {{"tolerations", {{{"operator", "Foo"}}}}}}}),
       "spec.tolerations[0].operator: Unsupported value: \"Foo\""},
  };
  Api api;
  for (const Case& each : cases) {
    const Json answer = api.json("POST", kDefault + each.plural, each.body);
    EXPECT_EQ(answer["kind"], "Status") << answer;
    EXPECT_THAT(answer["message"].get<std::string>(), HasSubstr(each.message));
  }
}

TEST(BuiltinKinds, APodKeepsItsNodeAndItsDeadlineOnlyShrinks) {
  Api api;
  ASSERT_EQ(api.json("POST", kDefault + "pods", pod({{"spec", {{"activeDeadlineSeconds", 10}}}}))["kind"],
            "Pod");
  const std::string path = kDefault + "pods/p";
  const auto try_spec = [&](Json spec) { return api.merge(path, {{"spec", std::move(spec)}}); };
  EXPECT_THAT(try_spec({{"nodeName", "n"}})["message"].get<std::string>(),
              HasSubstr("pod updates may not change"));
  EXPECT_THAT(try_spec({{"activeDeadlineSeconds", 20}})["message"].get<std::string>(),
              HasSubstr("must be less than or equal to previous value"));
  EXPECT_EQ(try_spec({{"activeDeadlineSeconds", 5}})["kind"], "Pod");
  EXPECT_EQ(api.json("POST", path + "/binding", {{"target", {{"name", "n"}}}})["status"], "Success");
  EXPECT_EQ(api.get(path)["spec"]["nodeName"], "n");
}

TEST(BuiltinKinds, AClaimsSpecIsFixed) {
  Api api;
  const Json claim{
      {"metadata", {{"name", "c"}}},
      {"spec", {{"accessModes", {"ReadWriteOnce"}}, {"resources", {{"requests", {{"storage", "1Gi"}}}}}}}};
  const std::string path = kDefault + "persistentvolumeclaims/c";
  ASSERT_EQ(api.json("POST", kDefault + "persistentvolumeclaims", claim)["kind"], "PersistentVolumeClaim");
  const auto grow = [&](const char* to) {
    return api.merge(path, {{"spec", {{"resources", {{"requests", {{"storage", to}}}}}}}});
  };
  EXPECT_THAT(grow("2Gi")["message"].get<std::string>(),
              HasSubstr("spec is immutable after creation except"));
  (void)api.merge(path + "/status", {{"status", {{"phase", "Bound"}}}});
  EXPECT_EQ(grow("2Gi")["kind"], "PersistentVolumeClaim");
  EXPECT_THAT(grow("1Gi")["message"].get<std::string>(), HasSubstr("field can not be less than"));
}

TEST(BuiltinKinds, NodePortsAreAllocatedOnceAndGoWithTheType) {
  Api api;
  const auto make = [&](const char* name) {
    return api.json(
        "POST", kDefault + "services",
        {{"metadata", {{"name", name}}}, {"spec", {{"type", "NodePort"}, {"ports", {{{"port", 80}}}}}}});
  };
  const Json first = make("a")["spec"]["ports"][0]["nodePort"],
             second = make("b")["spec"]["ports"][0]["nodePort"];
  EXPECT_GE(first, 30'000);
  EXPECT_LE(first, 32'767);
  EXPECT_NE(first, second);
  const auto ask = [&](const char* name, const Json& number) {
    return api.json(
        "POST", kDefault + "services",
        {{"metadata", {{"name", name}}},
         {"spec", {{"type", "NodePort"}, {"ports", {{{"port", 80}, {"nodePort", number}}}}}}})["message"];
  };
  EXPECT_THAT(ask("c", first).get<std::string>(), HasSubstr("provided port is already allocated"));
  EXPECT_THAT(ask("c", 80).get<std::string>(),
              HasSubstr("provided port is not in the valid range. The range of valid ports is 30000-32767"));
  const Json renamed =
      api.merge(kDefault + "services/a", {{"spec", {{"ports", {{{"name", "x"}, {"port", 80}}}}}}});
  EXPECT_EQ(renamed["spec"]["ports"][0]["nodePort"], first);
  const Json plain = api.merge(kDefault + "services/a", {{"spec", {{"type", "ClusterIP"}}}});
  EXPECT_FALSE(plain["spec"]["ports"][0].contains("nodePort")) << plain;
}

TEST(BuiltinKinds, AJobSelectsItsPodsByItsUid) {
  Api api;
  Json job = deployment("x");
  job["spec"].erase("selector");
  job["spec"]["template"]["spec"]["restartPolicy"] = "Never";
  job["apiVersion"] = "batch/v1";
  job["kind"] = "Job";
  const Json made = api.json("POST", "/apis/batch/v1/namespaces/default/jobs", job);
  const Json uid = made["metadata"]["uid"];
  EXPECT_EQ(made["spec"]["selector"], (Json{{"matchLabels", {{"batch.kubernetes.io/controller-uid", uid}}}}));
  EXPECT_EQ(made["spec"]["template"]["metadata"]["labels"]["job-name"], "d");
  EXPECT_EQ(made["spec"]["template"]["metadata"]["labels"]["a"], "b");
  EXPECT_EQ(made["status"], Json::object());
}

TEST(BuiltinKinds, AScaleTellsTheSelectorOfItsPods) {
  Api api;
  Json wide = deployment("x");
  wide["spec"]["selector"]["matchExpressions"] =
      Json::array({{{"key", "a"}, {"operator", "In"}, {"values", {"c", "b"}}}});
  (void)api.json("POST", kDeployments, wide);
  EXPECT_EQ(api.get(kDeployments + "/d/scale")["status"]["selector"], "a=b,a in (b,c)");
}

TEST(BuiltinKinds, StrategicPatchesMergeListsByTheirKeys) {
  Api api;
  (void)api.json("POST", kDeployments, deployment("x:1"));
  const auto patch = [&](const char* containers) {
    return api.json("PATCH", kDeployments + "/d",
                    Json{{"spec", {{"template", {{"spec", Json::parse(containers)}}}}}},
                    "application/strategic-merge-patch+json")["spec"]["template"]["spec"]["containers"];
  };
  Json now = patch(R"({"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]})");
  ASSERT_EQ(now.size(), 1U);
  EXPECT_EQ(now[0]["image"], "x:1");
  EXPECT_EQ(now[0]["env"][0]["value"], "1");
  now = patch(
      R"({"$setElementOrder/containers": [{"name": "side"}, {"name": "c"}], "containers": [{"name": "side", "image": "y"}]})");
  ASSERT_EQ(now.size(), 2U);
  EXPECT_EQ(now[0]["name"], "side");
  now = patch(R"({"containers": [{"name": "side", "$patch": "delete"}]})");
  ASSERT_EQ(now.size(), 1U);
  EXPECT_EQ(now[0]["name"], "c");
}

TEST(ServerSideApply, ManagersShareConflictAndGiveUpFields) {
  Api api;
  const std::string path = kDefault + "configmaps/m";
  EXPECT_EQ(api.apply(path, "one", config_map("m", {{"a", "1"}, {"b", "1"}}))["data"].size(), 2U);
  EXPECT_EQ(api.apply(path, "two", config_map("m", {{"b", "1"}, {"c", "1"}}))["data"].size(), 3U);
  const Json conflict = api.apply(path, "two", config_map("m", {{"a", "2"}}));
  EXPECT_EQ(conflict["reason"], "Conflict");
  EXPECT_EQ(conflict["details"]["causes"][0]["field"], ".data.a");
  EXPECT_EQ(api.apply(path, "one", config_map("m", {{"a", "1"}}))["data"],
            (Json{{"a", "1"}, {"b", "1"}, {"c", "1"}}));
  EXPECT_EQ(api.apply(path, "two", config_map("m", {{"a", "2"}}), true)["data"], (Json{{"a", "2"}}));
}

TEST(ServerSideApply, KubectlTakesOverWhatItAppliedOnTheClientsSide) {
  Api api;
  const std::string path = kDefault + "configmaps/m";
  Json client = config_map("m", {{"a", "1"}, {"b", "1"}});
  client["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = client.dump();
  (void)api.json("POST", kDefault + "configmaps?fieldManager=kubectl-client-side-apply", client);
  EXPECT_EQ(api.apply(path, "other", config_map("m", {{"a", "2"}}))["reason"], "Conflict");
  EXPECT_EQ(api.apply(path, "kubectl", config_map("m", {{"a", "2"}}))["data"]["a"], "2");
  (void)api.json("PATCH", path + "?fieldManager=edit", {{"data", {{"b", "3"}}}},
                 "application/merge-patch+json");
  const Json changed_since = api.apply(path, "kubectl", config_map("m", {{"b", "4"}}));
  EXPECT_EQ(changed_since["reason"], "Conflict") << changed_since;
}

TEST(ServerSideApply, AValueOfTheWrongTypeIsNamedByItsPath) {
  Api api;
  Json wrong = deployment("x");
  wrong["spec"]["template"]["spec"]["containers"][0]["image"] = true;
  EXPECT_THAT(api.apply(kDeployments + "/d", "one", wrong)["message"].get<std::string>(),
              HasSubstr(".spec.template.spec.containers[name=\"c\"].image: expected string, got "
                        "&value.valueUnstructured{Value:true}"));
}

}  // namespace
}  // namespace muster::local
