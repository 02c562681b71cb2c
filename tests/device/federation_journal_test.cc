// tests/device/federation_journal_test.cc: the real aggregator, killed in the middle of a round, with clients
// whose order the test fixes
#include <limits>

#include "tests/device/federation_calls.h"
#include "tests/device/federation_process.h"

namespace muster {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kModelValues = 610;
constexpr std::int32_t kClients = 3;

class FederationJournal : public FederationProcess {
 protected:
  FederationJournal() {
    federation_.rounds = 2;
    federation_.clients = kClients;
    federation_.clients_per_pod = kClients;
    federation_.cohort = {.size = kClients, .over_selection = 1.0, .minimum = kClients};
    federation_.partition.kind = "IID";
    federation_.stragglers.deadline_seconds = 60;
  }
  void SetUp() override { federation_.strategy = {.name = "FedAdam", .learning_rate = 0.1}; }
  std::unique_ptr<Pod> serving() {
    auto server = aggregator();
    EXPECT_TRUE(server->until(running));
    return server;
  }
  std::shared_ptr<FederationStub> stub() {
    return federation_stub(base_ + "1:8471", kUid, shared_test_pki().of_pod("client", 0, kUid));
  }
  static std::vector<float> update_of(std::int32_t client, std::int64_t round) {
    std::vector<float> values(kModelValues);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = 0.01F * static_cast<float>((i + 7 * static_cast<std::size_t>(client)) % 11) -
                  0.003F * static_cast<float>(round);
    return values;
  }
  UploadReply send(FederationStub& to, const Task& task, std::int32_t client, std::int64_t round) {
    const std::vector<float> values = update_of(client, round);
    UploadReply reply;
    const grpc::Status status = upload(to, header_of(task, values), values, reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  }
  // Both rounds; the aggregator is killed `kills` times, with the updates of clients 0 and 1 acknowledged.
  // The bytes of the model at the end.
  std::string play(int kills) {
    auto server = serving();
    for (std::int64_t round = 1; round <= 2; ++round) {
      const auto replies = check_in_all(kClients, [this](std::int32_t) { return stub(); });
      for (std::int32_t client = 0; client < kClients; ++client) {
        EXPECT_TRUE(replies[static_cast<std::size_t>(client)].has_task()) << "client " << client;
        const Task& task = replies[static_cast<std::size_t>(client)].task();
        EXPECT_EQ(send(*stub(), task, client, round).verdict(), UploadReply::ACCEPTED);
        if (client != 1) continue;
        for (int kill = 0; kill < kills; ++kill) {
          server->kill_now();
          server = serving();
          expect_all_is_known(replies, round);
        }
      }
    }
    CheckInReply last;
    EXPECT_TRUE(check_in(*stub(), 0, last).ok());
    EXPECT_TRUE(last.has_done());
    EXPECT_EQ(server->wait_exit(20s), 0);
    if (kills > 0) {
      EXPECT_NE(server->log().find("2 updates of an earlier process count, 2 of them in round 1"),
                std::string::npos);
    }
    EXPECT_FALSE(fs::exists(folder_ / "models/journal/updates-00000001.journal"))
        << "it is not needed any more";
    std::string bytes = testing_process::file_text(folder_ / "models/model.safetensors");
    fs::remove_all(folder_ / "models");
    return bytes;
  }
  void expect_all_is_known(const std::vector<CheckInReply>& replies, std::int64_t round) {
    for (std::int32_t client = 0; client < kClients; ++client) {
      const Task& before = replies[static_cast<std::size_t>(client)].task();
      CheckInReply reply;
      EXPECT_TRUE(check_in(*stub(), client, reply, 200).ok());
      if (client == 2) {
        EXPECT_EQ(reply.task().task_id(), before.task_id()) << "its task goes on";
        continue;
      }
      EXPECT_FALSE(reply.has_task()) << "client " << client << " is asked again";
      const UploadReply again = send(*stub(), before, client, round);
      EXPECT_EQ(again.verdict(), UploadReply::ACCEPTED) << again.reason();
      EXPECT_EQ(again.reason(), "it was counted before");
    }
  }
};

TEST_F(FederationJournal, AcknowledgedClientsAreNotAskedAgainAndTheModelHasTheSameBits) {
  const std::string undisturbed = play(0);
  EXPECT_GT(undisturbed.size(), kModelValues * sizeof(float));
  EXPECT_EQ(play(1), undisturbed);
  EXPECT_EQ(play(2), undisturbed) << "killed twice in a row";
}

TEST_F(FederationJournal, WithoutRoundsItsBufferOutlivesTheProcess) {
  federation_.strategy = {.name = "FedBuff", .buffer_size = kClients};
  federation_.cohort = {.size = kClients};
  const std::string undisturbed = play(0);
  EXPECT_GT(undisturbed.size(), kModelValues * sizeof(float));
  EXPECT_EQ(play(2), undisturbed);
}

// A disk that is bounded is for what can count.
TEST_F(FederationJournal, AnUpdateThatNoStrategyTakesIsRefusedBeforeTheJournal) {
  federation_.strategy = {.name = "FedBuff", .buffer_size = kClients};
  federation_.cohort = {.size = kClients};
  const auto server = serving();
  const auto replies = check_in_all(kClients, [this](std::int32_t) { return stub(); });
  const auto journal_bytes = [&] {
    return fs::file_size(folder_ / "models/journal/updates-00000001.journal");
  };
  const auto send_values = [&](std::int32_t client, const std::vector<float>& values) {
    UploadReply reply;
    const auto status =
        upload(*stub(), header_of(replies[static_cast<std::size_t>(client)].task(), values), values, reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  };
  const auto before = journal_bytes();
  const std::vector<float> diverged(kModelValues, std::numeric_limits<float>::quiet_NaN());
  const UploadReply refused = send_values(2, diverged);
  EXPECT_EQ(refused.verdict(), UploadReply::REJECTED);
  EXPECT_NE(refused.reason().find("client 2 holds values that are not finite"), std::string::npos)
      << refused.reason();
  EXPECT_LT(journal_bytes(), before + kModelValues * sizeof(float));
  EXPECT_EQ(send_values(0, update_of(0, 1)).verdict(), UploadReply::ACCEPTED);
  EXPECT_GE(journal_bytes(), before + kModelValues * sizeof(float));
}

TEST_F(FederationJournal, ADamagedJournalIsToldOfWithTheRemedy) {
  {
    auto server = serving();
    const auto replies = check_in_all(kClients, [this](std::int32_t) { return stub(); });
    for (std::int32_t client = 0; client < 2; ++client)
      send(*stub(), replies[static_cast<std::size_t>(client)].task(), client, 1);
    server->kill_now();
  }
  const fs::path file = folder_ / "models/journal/updates-00000001.journal";
  ASSERT_TRUE(fs::exists(file));
  {  // in the values of the first update, which lie before those of the second
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(fs::file_size(file) - 4000));
    bytes.write("damage", 6);
  }
  const auto server = aggregator();
  EXPECT_EQ(server->wait_exit(20s), 74);
  EXPECT_NE(server->last_words().find("updates-00000001.journal: byte "), std::string::npos);
  EXPECT_NE(server->last_words().find("remove the folder"), std::string::npos) << server->last_words();
}

// Nothing is durable then but what the checkpoints of others are: a killed aggregator begins anew.
TEST_F(FederationJournal, WithoutStorageARestartBeginsAnewAndSaysNothingElse) {
  federation_.storage_path.clear();
  auto server = serving();
  auto replies = check_in_all(kClients, [this](std::int32_t) { return stub(); });
  EXPECT_EQ(send(*stub(), replies[0].task(), 0, 1).verdict(), UploadReply::ACCEPTED);
  server->kill_now();
  server = serving();
  const std::vector<float> values = update_of(0, 1);
  UploadReply reply;
  EXPECT_EQ(upload(*stub(), header_of(replies[0].task(), values), values, reply).error_code(),
            grpc::StatusCode::NOT_FOUND);
  replies = check_in_all(kClients, [this](std::int32_t) { return stub(); });
  EXPECT_TRUE(replies[0].has_task()) << "it is asked again";
  EXPECT_FALSE(fs::exists(folder_ / "models/journal"));
}

}  // namespace
}  // namespace muster
