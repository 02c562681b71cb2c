// tests/exec/wire_test.cc: what muster-exec reads and writes is what protobuf does
#include "exec/wire.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <random>

#include "proto/control.pb.h"

namespace muster::exec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

control::v1::Assignment assignment() {
  control::v1::Assignment made;
  made.set_namespace_("team");
  made.set_name("digits");
  made.set_uid("u-1");
  made.set_membership(1'234'567'890'123);
  made.set_membership_key(std::string(32, '\xFF'));
  made.set_pod_uid("p-1");
  made.add_writable_mounts("/data");
  made.set_spec("{}");
  auto& orders = *made.mutable_exec();
  orders.set_start(true);
  for (const auto& [name, value] : {std::pair{"RANK", "3"}, {"EMPTY", ""}}) {
    auto& variable = *orders.add_environment();
    variable.set_name(name);
    variable.set_value(value);
  }
  return made;
}

TEST(Wire, ReadsWhatTheOperatorWrites) {
  const auto read = read_assignment(assignment().SerializeAsString());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->uid, "u-1");
  EXPECT_EQ(read->pod_uid, "p-1");
  EXPECT_EQ(read->membership, 1'234'567'890'123);
  EXPECT_TRUE(read->for_exec);
  EXPECT_TRUE(read->start);
  EXPECT_THAT(read->environment, ElementsAre(Pair("RANK", "3"), Pair("EMPTY", "")));
}

TEST(Wire, KnowsThatAnAssignmentIsForAnotherProgram) {
  auto other = assignment();
  other.mutable_worker()->set_rank(1);
  const auto read = read_assignment(other.SerializeAsString());
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->for_exec);
  EXPECT_FALSE(read->start);
}

TEST(Wire, PassesOverFieldsOfALaterRelease) {
  std::string bytes = assignment().SerializeAsString();
  bytes += std::string("\x80\x7d\x05", 3);                     // field 2000, a number
  bytes += std::string("\x8a\x7d\x03xyz", 6);                  // field 2001, bytes
  bytes += std::string("\x91\x7d", 2) + std::string(8, '\1');  // field 2002, eight bytes
  bytes += std::string("\x9d\x7d", 2) + std::string(4, '\1');  // field 2003, four
  const auto read = read_assignment(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->pod_uid, "p-1");
}

TEST(Wire, RefusesAVariableThatNoEnvironmentCanHold) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"", "x"}, {"A=B", "x"}, {std::string("A\0B", 3), "x"}, {"A", std::string("x\0", 2)}}) {
    auto made = assignment();
    auto& variable = *made.mutable_exec()->add_environment();
    variable.set_name(name);
    variable.set_value(value);
    const auto read = read_assignment(made.SerializeAsString());
    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().message, HasSubstr("environment"));
  }
}

// Cut or changed anywhere, it is refused or read as protobuf reads it; nothing else happens.
TEST(Wire, AgreesWithProtobufOnBytesOfAnyKind) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const google::protobuf::LogSilencer quiet;  // it tells of each text that is not UTF-8
  const std::string whole = assignment().SerializeAsString();
  int read_both = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole.substr(0, random() % (whole.size() + 1));
    for (auto i = random() % 3; i > 0 && !bytes.empty(); --i)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto read = read_assignment(bytes);
    control::v1::Assignment oracle;
    // Protobuf also refuses texts that are not UTF-8, and takes groups, which nobody writes any more.
    if (!oracle.ParseFromString(bytes) || !read) continue;
    ++read_both;
    EXPECT_EQ(read->uid, oracle.uid());
    EXPECT_EQ(read->pod_uid, oracle.pod_uid());
    EXPECT_EQ(read->membership, oracle.membership());
  }
  EXPECT_GT(read_both, 100);
}

TEST(Wire, WritesWhatTheOperatorReads) {
  const Told told{.membership = 7,
                  .phase = Phase::kWaiting,
                  .message = "the command has ended with code 137",
                  .pod_uid = "p-1",
                  .ready = true,
                  .starts = 3,
                  .end = CommandEnd{.membership = 6, .exit_code = 137, .words = "out of memory"}};
  control::v1::AgentStatus read;
  ASSERT_TRUE(read.ParseFromString(write_status(told)));
  EXPECT_EQ(read.membership(), 7);
  EXPECT_EQ(read.phase(), control::v1::PHASE_WAITING);
  EXPECT_EQ(read.message(), told.message);
  EXPECT_EQ(read.pod_uid(), "p-1");
  EXPECT_TRUE(read.exec().ready());
  EXPECT_EQ(read.exec().starts(), 3);
  EXPECT_EQ(read.exec().end().membership(), 6);
  EXPECT_EQ(read.exec().end().exit_code(), 137);
  EXPECT_EQ(read.exec().end().words(), "out of memory");
  ASSERT_TRUE(read.ParseFromString(write_status({})));
  EXPECT_TRUE(read.has_exec()) << "by this the operator knows who tells";
  EXPECT_FALSE(read.exec().has_end());
}

TEST(Wire, WritesLastWordsThatAreNoText) {
  const Told told{.end = CommandEnd{.membership = 1,
                                    .exit_code = 1,
                                    .words = "gr\xf6\xdf"
                                             "e"}};
  control::v1::AgentStatus read;
  ASSERT_TRUE(read.ParseFromString(write_status(told)));
  EXPECT_EQ(read.exec().end().words(), "gr??e");
}

TEST(Wire, ReadsWhomAFollowerMeans) {
  control::v1::WatchRequest request;
  request.set_pod_uid("p-9");
  request.set_membership(4);
  const auto read = read_watch_request(request.SerializeAsString());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->pod_uid, "p-9");
  EXPECT_EQ(read->membership, 4);
}

}  // namespace
}  // namespace muster::exec
