#pragma once  // local/tests/runtime/node_fixture.h: a node with an API in memory, for tests with real
              // processes
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "local/runtime/node.h"
#include "local/tests/runtime/builders.h"
#include "local/tests/support/fake_node_api.h"

namespace muster::local {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

class NodeTest : public testing::Test {
 protected:
  void SetUp() override {
    auto node = Node::start(api_, logs_,
                            {.binaries = MUSTER_BINARIES,
                             .run_folder = folder_.path() / "run",
                             .volumes_folder = folder_.path() / "volumes",
                             .cpu_milli = 2000,
                             .memory_milli = 1000});
    ASSERT_TRUE(node) << node.error().message;
    node_ = *std::move(node);
  }
  void run(const Json& pod) { api_.put("pods", pod); }
  bool phase(const std::string& name, const std::string& wanted) {
    return api_.until("test", name,
                      [&](const Json& pod) { return text(member(pod, "status", "phase")) == wanted; });
  }
  bool gone(const std::string& name) {
    return api_.until("test", name, [](const Json& pod) { return pod.is_null(); });
  }
  Json status(const std::string& name, std::size_t container = 0) {
    return api_.object("pods", "test", name)["status"]["containerStatuses"][container];
  }
  LogQuery query(const std::string& pod, const std::string& container = "main") {
    LogQuery out;
    out.pod_namespace = "test";
    out.pod = pod;
    out.uid = "uid-" + pod;
    out.container = container;
    return out;
  }
  // Deletes a pod, waits until it is gone; what its followed log held to its end.
  std::string log_until_deleted(const std::string& pod) {
    LogQuery follow = query(pod);
    follow.follow = true;
    const auto stream = logs_.open(follow);
    api_.begin_deletion("test", pod, 20);
    EXPECT_TRUE(gone(pod));
    std::string out;
    while (stream) {
      const auto bytes = (*stream)->read(milliseconds(500));
      if (!bytes || !*bytes) break;
      out += **bytes;
    }
    return out;
  }
  std::string read(const LogQuery& query) {
    auto stream = logs_.open(query);
    if (!stream) return "error: " + stream.error().message;
    std::string out;
    const Deadline limit = deadline_after(seconds(20));
    while (std::chrono::steady_clock::now() < limit) {
      auto bytes = (*stream)->read(milliseconds(200));
      if (!bytes || !*bytes) return out;
      out += **bytes;
    }
    return out + " (no end)";
  }
  bool log_shows(const std::string& pod, const std::string& line) {
    LogQuery follow = query(pod);
    follow.follow = true;
    const Deadline limit = deadline_after(seconds(20));
    auto stream = logs_.open(follow);
    std::string out;
    while (stream && out.find(line) == std::string::npos && std::chrono::steady_clock::now() < limit) {
      auto bytes = (*stream)->read(milliseconds(200));
      if (!bytes || !*bytes) break;
      out += **bytes;
    }
    return out.find(line) != std::string::npos;
  }

  TemporaryFolder folder_;
  FakeNodeApi api_;
  LogStore logs_{folder_.path() / "run" / "logs"};
  std::unique_ptr<Node> node_;
};

}  // namespace muster::local
