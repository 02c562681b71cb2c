#pragma once  // tests/operator/shell/writes_fixture.h: clients whose requests a test answers and counts, and
              // keys to make
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kube/events.h"
#include "operator/control/issuer.h"
#include "tests/support/fake_transport.h"

namespace muster::op {

using kube::FakeTransport;

class WritesTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> asked() const {
    std::vector<std::string> out;
    for (const auto& request : writes_->requests()) out.push_back(request.method + " " + request.target);
    return out;
  }

  std::shared_ptr<FakeTransport> writes_ = std::make_shared<FakeTransport>();
  std::shared_ptr<FakeTransport> event_writes_ = std::make_shared<FakeTransport>();
  kube::Client client_{writes_, nullptr, {}};
  kube::Client event_client_{event_writes_, nullptr, {}};
  std::unique_ptr<kube::EventRecorder> events_ = std::make_unique<kube::EventRecorder>(event_client_, "test");
  Issuer issuer_ = *Issuer::load(*Issuer::make_secrets(std::chrono::system_clock::now()),
                                 std::chrono::system_clock::now());
};

}  // namespace muster::op
