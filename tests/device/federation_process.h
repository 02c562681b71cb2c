#pragma once  // tests/device/federation_process.h: one aggregator and some client pods as processes of the
              // real binaries
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>

#include "common/spec/federation.h"
#include "tests/device/process.h"

namespace muster {

class FederationProcess : public testing::Test {
 protected:
  using Pod = testing_process::Pod;
  static constexpr const char* kUid = "uid-1";

  FederationProcess() {
    std::string pattern = (std::filesystem::temp_directory_path() / "muster-federation-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::random_device random;
    base_ = fmt::format("127.{}.{}.", 1 + random() % 250, random() % 250);
    federation_.rounds = 8;
    federation_.training.model.name = "softmax";
    federation_.training.dataset.name = "synthetic";
    federation_.training.dataset.synthetic.devices = 10;
    federation_.training.optimizer.learning_rate = 0.05;
    federation_.training.seed = 3;
    federation_.cohort = {.size = 4, .over_selection = 1.0, .minimum = 1};
    federation_.stragglers.deadline_seconds = 3;
    federation_.clients = 10;
    federation_.clients_per_pod = 5;
    federation_.partition.kind = "Natural";
    federation_.storage_path = "/models";
  }
  ~FederationProcess() override {
    if (HasFailure()) {
      for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
        if (entry.path().extension() == ".log") {
          std::cerr << "--- " << entry.path() << '\n'
                    << testing_process::file_text(entry.path()).substr(0, 6000);
        }
      }
    }
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Pod> aggregator(bool configured = true) {
    auto pod = std::make_unique<Pod>(MUSTER_AGGREGATOR_BINARY, "fr-aggregator-0", base_ + "1", kUid, folder_);
    if (configured) {
      const grpc::Status status = pod->configure(aggregator_assignment());
      EXPECT_TRUE(status.ok()) << status.error_message();
    }
    return pod;
  }
  std::unique_ptr<Pod> device(int index) {
    auto pod = std::make_unique<Pod>(MUSTER_DEVICE_BINARY, fmt::format("fr-client-{}", index),
                                     fmt::format("{}{}", base_, 10 + index), kUid, folder_);
    control::v1::Assignment assignment = named();
    assignment.mutable_client()->set_aggregator(base_ + "1:8471");
    assignment.mutable_client()->set_first_client(index * static_cast<int>(federation_.clients_per_pod));
    assignment.mutable_client()->set_clients(static_cast<int>(federation_.clients_per_pod));
    assignment.add_writable_mounts("/models");
    const grpc::Status status = pod->configure(assignment);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return pod;
  }
  control::v1::Assignment aggregator_assignment() const {
    control::v1::Assignment assignment = named();
    assignment.add_writable_mounts(federation_.storage_path);
    assignment.mutable_aggregator();
    return assignment;
  }
  [[nodiscard]] control::v1::Assignment named() const {
    control::v1::Assignment assignment;
    assignment.set_namespace_("default");
    assignment.set_name("fr");
    assignment.set_uid(kUid);
    assignment.set_membership(1);
    assignment.set_spec(spec::to_json(federation_).dump());
    return assignment;
  }
  static bool running(const control::v1::AgentStatus& status) {
    return status.phase() == control::v1::PHASE_RUNNING;
  }
  static bool succeeded(const control::v1::AgentStatus& status) {
    return status.phase() == control::v1::PHASE_SUCCEEDED;
  }
  static std::function<bool(const control::v1::AgentStatus&)> committed(std::int64_t round) {
    return [round](const control::v1::AgentStatus& status) { return status.aggregator().round() >= round; };
  }

  std::filesystem::path folder_;
  std::string base_;
  spec::Federation federation_;
};

}  // namespace muster
