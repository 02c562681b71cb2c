// local/tests/runtime/host_names_test.cc: which names pods of which namespace see, and which pods they mean
#include "local/runtime/host_names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <vector>

namespace muster::local {
namespace {

using Strings = std::vector<std::string>;

Json pod(const std::string& name, bool ready = true, const std::string& ns = "test") {
  return {
      {"metadata",
       {{"name", name}, {"namespace", ns}, {"uid", ns + "-" + name}, {"labels", {{"app", "ring"}}}}},
      {"spec", {{"hostname", name}, {"subdomain", "ring"}}},
      {"status",
       {{"phase", "Running"}, {"conditions", {{{"type", "Ready"}, {"status", ready ? "True" : "False"}}}}}}};
}

Json service(const std::string& name, bool all = false, const std::string& ns = "test") {
  return {{"metadata", {{"name", name}, {"namespace", ns}}},
          {"spec", {{"selector", {{"app", "ring"}}}, {"publishNotReadyAddresses", all}}}};
}

// The addresses that a resolver finds for `name` in a hosts file: every line that holds it.
Strings resolve(const HostNames& names, const std::string& name, const std::string& ns = "test") {
  Strings out;
  std::istringstream lines(names.lines(ns));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string ip;
    words >> ip;
    for (std::string word; words >> word;) {
      if (word == name) out.push_back(ip);
    }
  }
  std::ranges::sort(out);
  return out;
}

TEST(HostNames, KnowsAPodUnderItsHeadlessServiceInEveryForm) {
  HostNames names;
  names.put_service(service("ring"));
  names.put_pod(pod("ring-0"), "127.1.1.1");
  names.put_pod(pod("ring-1"), "127.1.1.2");
  for (const char* end : {"", ".test", ".test.svc", ".test.svc.cluster.local"}) {
    EXPECT_EQ(resolve(names, std::string("ring-1.ring") + end), Strings{"127.1.1.2"}) << end;
    EXPECT_EQ(resolve(names, std::string("ring") + end), (Strings{"127.1.1.1", "127.1.1.2"})) << end;
  }
  EXPECT_EQ(resolve(names, "ring-0"), Strings{"127.1.1.1"});
  EXPECT_EQ(names.lines("test").find("127.1.1.1 ring-0.ring.test.svc.cluster.local "), 0U)
      << "the full name comes first: it is the canonical one";
}

TEST(HostNames, KeepsShortNamesToTheirNamespace) {
  HostNames names;
  for (const char* ns : {"test", "other"}) {
    names.put_service(service("ring", false, ns));
    names.put_pod(pod("ring-0", true, ns), std::string(ns) == "test" ? "127.1.1.1" : "127.2.2.2");
  }
  EXPECT_EQ(resolve(names, "ring-0.ring", "test"), Strings{"127.1.1.1"});
  EXPECT_EQ(resolve(names, "ring-0.ring", "other"), Strings{"127.2.2.2"});
  EXPECT_EQ(resolve(names, "ring", "other"), Strings{"127.2.2.2"});
  EXPECT_EQ(resolve(names, "ring-0", "other"), Strings{"127.2.2.2"});
  EXPECT_EQ(resolve(names, "ring-0.ring.other", "test"), Strings{"127.2.2.2"});
  EXPECT_EQ(resolve(names, "ring.other.svc", "third"), Strings{"127.2.2.2"});
  EXPECT_EQ(resolve(names, "ring", "third"), Strings{});
}

TEST(HostNames, HidesPodsThatAreNotReadyUnlessTheServicePublishesThem) {
  HostNames names;
  names.put_service(service("ring"));
  names.put_service(service("early", true));
  names.put_pod(pod("ring-0", false), "127.1.1.1");
  EXPECT_EQ(resolve(names, "ring"), Strings{});
  EXPECT_EQ(resolve(names, "ring-0.ring"), Strings{});
  EXPECT_EQ(resolve(names, "early"), Strings{"127.1.1.1"});
  EXPECT_EQ(resolve(names, "ring-0"), Strings{"127.1.1.1"}) << "its own name it knows always";
  names.put_pod(pod("ring-0", true), "127.1.1.1");
  EXPECT_EQ(resolve(names, "ring"), Strings{"127.1.1.1"});
  Json leaving = pod("ring-0");
  leaving["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
  names.put_pod(leaving, "127.1.1.1");
  EXPECT_EQ(resolve(names, "ring"), Strings{});
}

TEST(HostNames, FollowsSelectorsLabelsAndEnds) {
  HostNames names;
  names.put_pod(pod("ring-0"), "127.1.1.1");
  Json none = service("ring");
  none["spec"].erase("selector");
  names.put_service(none);
  EXPECT_EQ(resolve(names, "ring"), Strings{}) << "a Service without a selector has no pods";
  names.put_service(service("ring"));
  EXPECT_EQ(resolve(names, "ring"), Strings{"127.1.1.1"});
  Json other = pod("ring-0");
  other["metadata"]["labels"]["app"] = "else";
  names.put_pod(other, "127.1.1.1");
  EXPECT_EQ(resolve(names, "ring"), Strings{});
  Json done = pod("ring-0");
  done["status"]["phase"] = "Succeeded";
  names.put_pod(done, "127.1.1.1");
  EXPECT_EQ(names.lines("test"), "");
  names.put_pod(pod("ring-1"), "127.1.1.2");
  names.remove_service(service("ring"));
  EXPECT_EQ(resolve(names, "ring-1.ring"), Strings{});
  names.remove_pod("test-ring-1");
  EXPECT_EQ(names.lines("test"), "");
}

TEST(HostNames, TellsOnceThatSomethingChanged) {
  HostNames names;
  EXPECT_FALSE(names.changed());
  names.put_service(service("ring"));
  names.put_pod(pod("ring-0"), "127.1.1.1");
  EXPECT_TRUE(names.changed());
  EXPECT_FALSE(names.changed());
  Json same = pod("ring-0");
  same["metadata"]["resourceVersion"] = "7";
  names.put_pod(same, "127.1.1.1");
  names.put_service(service("ring"));
  EXPECT_FALSE(names.changed());
}

TEST(HostNames, TakesAPodsNameForItsHostname) {
  Json named{{"metadata", {{"name", "a-pod"}}}, {"spec", Json::object()}};
  EXPECT_EQ(pod_hostname(named), "a-pod");
  named["spec"]["hostname"] = "host";
  EXPECT_EQ(pod_hostname(named), "host");
  named["spec"]["hostname"] = std::string(62, 'a') + "-b";
  EXPECT_EQ(pod_hostname(named), std::string(62, 'a'));
}

TEST(HostNames, PutsFilesFirstAmongTheSourcesOfHosts) {
  EXPECT_EQ(with_files_first("passwd: files\nhosts:      files dns\n"), "");
  EXPECT_EQ(with_files_first("hosts: mymachines resolve [!UNAVAIL=return] files dns # x\nnetworks: files\n"),
            "hosts: files mymachines resolve [!UNAVAIL=return] files dns # x\nnetworks: files\n");
  EXPECT_EQ(with_files_first("passwd: files\n"), "passwd: files\nhosts: files dns\n");
}

}  // namespace
}  // namespace muster::local
