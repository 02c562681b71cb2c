// tests/operator/core/agent_status_test.cc: what of a pod's claims may reach the object's status
#include "operator/core/agent_status.h"

#include <gmock/gmock.h>

#include <functional>
#include <limits>

namespace muster::op {
namespace {

using control::v1::AgentStatus;
using ::testing::HasSubstr;

const std::string kDigest(64, 'a');

// A status as Muster's worker and aggregator tell it.
AgentStatus honest() {
  AgentStatus status;
  status.set_membership(1);
  status.set_phase(control::v1::PHASE_RUNNING);
  status.set_message("waits for its peers");
  status.set_pod_uid("0f8d1e2c-6c1a-4a52-9a3e-3d2b1c0a9f8e");
  auto& worker = *status.mutable_worker();
  worker.set_step(100);
  worker.set_total_steps(100);
  worker.set_epoch(1.25);
  worker.set_loss(std::numeric_limits<double>::quiet_NaN());  // it has diverged
  worker.set_accuracy(1.0);
  worker.set_payload_bytes_sent(std::uint64_t{1} << 52);
  worker.set_parameters_sha256(kDigest);
  auto& point = *worker.add_history();
  point.set_at(10);
  point.set_loss(0.5);
  point.set_accuracy(0.0);
  auto& aggregator = *status.mutable_aggregator();
  aggregator.set_round(3);
  aggregator.set_rounds(5);
  status.mutable_client()->set_updates_sent(4);
  status.add_warnings("column \"größe\" numbers the rows");
  return status;
}

TEST(CheckedStatus, LeavesWhatMustersProgramsTell) {
  EXPECT_EQ(checked(honest()).SerializeAsString(), honest().SerializeAsString());
}

TEST(CheckedStatus, LeavesALossBelowZero) {
  AgentStatus told = honest();
  told.mutable_worker()->set_loss(-1.5);
  told.mutable_worker()->set_test_loss(-2);
  told.mutable_worker()->add_history()->set_loss(-3);
  told.mutable_aggregator()->set_loss(-0.5);
  EXPECT_EQ(checked(told).SerializeAsString(), told.SerializeAsString());
}

struct Odd {
  const char* what;  // the name that the warning has
  std::function<void(AgentStatus&)> set;
  std::function<bool(const AgentStatus&)> is_gone;
};
class OddStatus : public ::testing::TestWithParam<Odd> {};

TEST_P(OddStatus, IsLeftOutAndNamedInOneWarning) {
  AgentStatus told = honest();
  GetParam().set(told);
  const AgentStatus kept = checked(told);
  EXPECT_TRUE(GetParam().is_gone(kept)) << kept.ShortDebugString().substr(0, 2000);
  EXPECT_EQ(kept.worker().total_steps(), 100) << "the others stay";
  ASSERT_GE(kept.warnings_size(), 2);
  EXPECT_THAT(kept.warnings(0), HasSubstr(std::string("cannot be (") + GetParam().what + ")"));
  EXPECT_LE(kept.ByteSizeLong(), 32U << 10);
  EXPECT_EQ(checked(told).warnings(0), kept.warnings(0)) << "the same words again are no new event";
}
INSTANTIATE_TEST_SUITE_P(
    Kinds, OddStatus,
    ::testing::Values(
        Odd{"step", [](auto& s) { s.mutable_worker()->set_step(std::numeric_limits<std::int64_t>::min()); },
            [](const auto& s) { return s.worker().step() == 0; }},
        Odd{"resumedFromStep", [](auto& s) { s.mutable_worker()->set_resumed_from_step(-1); },
            [](const auto& s) { return !s.worker().has_resumed_from_step(); }},
        Odd{"gradientBytes",
            [](auto& s) { s.mutable_worker()->set_gradient_bytes((std::uint64_t{1} << 53) + 1); },
            [](const auto& s) { return s.worker().gradient_bytes() == 0; }},
        Odd{"payloadBytesSent",
            [](auto& s) {
              s.mutable_worker()->set_payload_bytes_sent(std::numeric_limits<std::uint64_t>::max());
            },
            [](const auto& s) { return s.worker().payload_bytes_sent() == 0; }},
        Odd{"accuracy", [](auto& s) { s.mutable_worker()->set_accuracy(7.5); },
            [](const auto& s) { return !s.worker().has_accuracy(); }},
        Odd{"accuracy", [](auto& s) { s.mutable_aggregator()->set_accuracy(-0.1); },
            [](const auto& s) { return !s.aggregator().has_accuracy(); }},
        Odd{"examplesPerSecond", [](auto& s) { s.mutable_worker()->set_examples_per_second(-1); },
            [](const auto& s) { return s.worker().examples_per_second() == 0; }},
        Odd{"connected", [](auto& s) { s.mutable_aggregator()->set_connected(-1); },
            [](const auto& s) { return s.aggregator().connected() == 0; }},
        Odd{"updatesFailed", [](auto& s) { s.mutable_client()->set_updates_failed(-1); },
            [](const auto& s) { return s.client().updates_failed() == 0; }},
        Odd{"parametersSha256",
            [](auto& s) {
              s.mutable_worker()->set_parameters_sha256("\x1b[31m" + std::string(900'000, 'A'));
            },
            [](const auto& s) { return !s.worker().has_parameters_sha256(); }},
        Odd{"parametersSha256", [](auto& s) { s.mutable_worker()->set_parameters_sha256(kDigest + "a"); },
            [](const auto& s) { return !s.worker().has_parameters_sha256(); }},
        Odd{"history",
            [](auto& s) {
              for (int i = 0; i < 1000; ++i) s.mutable_worker()->add_history()->set_at(i);
            },
            [](const auto& s) {
              return s.worker().history_size() == kStatusHistoryMax && s.worker().history(199).at() == 999;
            }},
        Odd{"history", [](auto& s) { s.mutable_aggregator()->add_history()->set_accuracy(2); },
            [](const auto& s) { return s.aggregator().history_size() == 0; }},
        Odd{"ledger",
            [](auto& s) {
              for (int i = 1; i <= 2; ++i) {
                auto& epoch = *s.mutable_worker()->add_ledger();
                epoch.set_epoch(3);  // twice
                epoch.set_digest("0123456789abcdef");
              }
            },
            [](const auto& s) { return s.worker().ledger_size() == 0; }},
        Odd{"ledger",
            [](auto& s) {
              for (int i = 1; i <= 9; ++i) {
                auto& epoch = *s.mutable_worker()->add_ledger();
                epoch.set_epoch(i);
                epoch.set_digest("0123456789abcdef");
              }
            },
            [](const auto& s) { return s.worker().ledger_size() == 0; }},
        Odd{"ledger",
            [](auto& s) {
              auto& epoch = *s.mutable_worker()->add_ledger();
              epoch.set_epoch(1);
              epoch.set_digest("none");
            },
            [](const auto& s) { return s.worker().ledger_size() == 0; }},
        Odd{"accuracy, step",
            [](auto& s) {
              s.mutable_worker()->set_step(-3);
              s.mutable_worker()->set_accuracy(2);
            },
            [](const auto& s) { return s.worker().step() == 0 && !s.worker().has_accuracy(); }},
        Odd{"warnings",
            [](auto& s) {
              for (int i = 0; i < 100; ++i) s.add_warnings(std::string(100, 'w') + std::to_string(i));
            },
            [](const auto& s) { return s.warnings_size() == kStatusWarningsMax + 1; }}));

TEST(CheckedStatus, ItsTextsAreShortAndSteerNothing) {
  AgentStatus told = honest();
  told.set_message("\x1b]0;owned\x07" + std::string(10'000, 'm'));
  told.set_pod_uid(std::string(10'000, 'u'));
  told.add_warnings("\x1b[2Jboom\nmuster: all is well" + std::string(2000, 'w'));
  const AgentStatus kept = checked(told);
  EXPECT_EQ(kept.message().size(), 4096U);
  EXPECT_EQ(kept.message().substr(0, 10), "?]0;owned?");
  EXPECT_EQ(kept.pod_uid().size(), 64U);
  EXPECT_EQ(kept.warnings(1).size(), kStatusWarningBytesMax);
  EXPECT_EQ(kept.warnings(1).substr(0, 27), "?[2Jboom?muster: all is wel");
  EXPECT_EQ(kept.warnings_size(), 2) << "which is nothing to warn of";
}

TEST(CheckedStatus, FieldsThatNobodyReadsAreNotKept) {
  AgentStatus told = honest();
  told.GetReflection()->MutableUnknownFields(&told)->AddLengthDelimited(99, std::string(50'000, 'x'));
  auto& worker = *told.mutable_worker();
  worker.GetReflection()->MutableUnknownFields(&worker)->AddVarint(99, 7);
  EXPECT_EQ(checked(told).SerializeAsString(), honest().SerializeAsString());
}

TEST(ToldText, IsUtf8WhateverItWas) {
  EXPECT_EQ(told_text("größe\xff", 100), "gr????e?");
  EXPECT_EQ(told_text("größe", 100), "größe");
  EXPECT_EQ(told_text("größe", 3), "gr");
}

}  // namespace
}  // namespace muster::op
