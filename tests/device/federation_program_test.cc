// tests/device/federation_program_test.cc: a federation of programs (spec.training.program): the real
// binaries, and programs of the C ABI beside them in this process
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "tests/device/federation_process.h"
#include "worker/program/muster_client.h"

namespace muster {
namespace {

namespace fs = std::filesystem;

// Moves each parameter half the way to the client's number, which is also its examples less one.
void halfway(muster_job* job, std::int64_t client) {
  size_t count = 0;
  const float* given = muster_parameters(job, &count);
  for (size_t i = 0; i < count; ++i)
    muster_gradient(job, nullptr)[i] = given[i] + 0.5F * (static_cast<float>(client) - given[i]);
  EXPECT_EQ(muster_update_ready(job, client + 1, 1.0 + static_cast<double>(client), 0.25), 0);
}
using Train = std::function<void(muster_job*, std::int64_t)>;

class ProgramFederation : public FederationProcess {
 protected:
  ProgramFederation() {
    federation_.training.program.emplace();
    federation_.training.dataset = {};
    federation_.partition = {};
    federation_.rounds = 3;
    federation_.cohort = {.size = 10, .over_selection = 1.0, .minimum = 1, .max_examples_per_client = 10};
    federation_.stragglers.deadline_seconds = 20;
  }
  ~ProgramFederation() override {
    for (std::thread& program : programs_) program.join();
  }
  // A client pod, whose program has `parameters` that begin with 8.
  std::unique_ptr<Pod> client(int index, std::int64_t parameters, const Train& train) {
    const std::string socket = folder_ / ("socket-" + std::to_string(index));
    ::setenv("MUSTER_SOCKET", socket.c_str(), 1);
    ::setenv("MUSTER_TERMINATION_LOG", (folder_ / "program.last").c_str(), 1);
    std::atomic<bool> opened = false;
    programs_.emplace_back([this, index, parameters, train, &opened] {
      muster_job* job = muster_open_client();  // once the device has its place
      opened = true;
      play(job, index, parameters, train);
      muster_close(job);
    });
    auto pod = device(index);
    while (!opened) std::this_thread::yield();  // it has read its environment
    return pod;
  }

  std::string error(int index) const { return errors_[static_cast<std::size_t>(index)]; }

 private:
  void play(muster_job* job, int index, std::int64_t parameters, const Train& train) {
    std::string& error = errors_[static_cast<std::size_t>(index)];
    muster_register_typed(job, "w", MUSTER_FLOAT64, 1, &parameters);
    if (muster_allocate(job) != 0) {
      error = muster_last_error(job);
      return;
    }
    for (std::int64_t i = 0; i < parameters; ++i) muster_parameters(job, nullptr)[i] = 8;
    muster_begin_client(job);
    muster_event event{};
    event.size = sizeof event;
    muster_round round{};
    round.size = sizeof round;
    while (muster_next(job, -1, &event) == 0 && event.kind == MUSTER_ROUND) {
      muster_get_round(job, &round);
      train(job, round.client);
    }
    error = event.kind == MUSTER_END ? event.words : muster_last_error(job);
  }
  std::vector<std::thread> programs_;
  std::array<std::string, 2> errors_;
};

TEST_F(ProgramFederation, IsTheMeanOfWhatTheProgramsMadeOfTheFirstOnesModel) {
  const auto server = aggregator();
  const auto first = client(0, 3, halfway);
  const auto second = client(1, 3, halfway);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  const auto& progress = last->aggregator();
  EXPECT_EQ(progress.round(), 3);
  EXPECT_EQ(progress.model_bytes(), 12U);
  // Weights 1 .. 10 of the clients 0 .. 9: the mean of their numbers is 6.
  double mean = 8;
  for (int round = 0; round < 3; ++round) mean += 0.5 * (6 - mean);
  ASSERT_EQ(progress.history_size(), 3);
  EXPECT_NEAR(progress.history(2).loss(), 5.5, 1e-9) << "the median of their losses";
  EXPECT_DOUBLE_EQ(progress.history(2).accuracy(), 0.25);
  EXPECT_EQ(server->wait_exit(std::chrono::seconds(10)), 0);
  for (const auto* pod : {&first, &second}) {  // a sidecar serves on until it is told to end
    EXPECT_TRUE((*pod)->until(succeeded));
    (*pod)->terminate();
    EXPECT_EQ((*pod)->wait_exit(std::chrono::seconds(10)), 0);
  }
  const std::string model = testing_process::file_text(folder_ / "models/model.safetensors");
  ASSERT_GE(model.size(), 12U);
  float value = 0;
  std::memcpy(&value, model.data() + model.size() - 12, sizeof value);
  EXPECT_NEAR(value, mean, 1e-6);
}

TEST_F(ProgramFederation, GoesOnWithoutAClientThatFails) {
  const auto server = aggregator();
  const auto first = client(0, 3, [](muster_job* job, std::int64_t number) {
    if (number != 2) return halfway(job, number);
    EXPECT_EQ(muster_round_failed(job, "ValueError: my own mistake"), 0);
  });
  const auto second = client(1, 3, halfway);
  const auto last = server->until(succeeded);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->aggregator().dropped(), 3) << "one a round";
  EXPECT_NE(server->log().find("its program has failed: ValueError: my own mistake"), std::string::npos);
  first->terminate();
  second->terminate();
}

TEST_F(ProgramFederation, TakesNoClientWithAnotherModel) {
  federation_.cohort = {.size = 5, .over_selection = 1.0, .minimum = 1, .max_examples_per_client = 10};
  federation_.rounds = 100;
  const auto server = aggregator();
  const auto first = client(0, 3, halfway);
  ASSERT_TRUE(server->until(committed(1)));
  const auto second = client(1, 4, halfway);
  const auto refused = second->until(
      [](const control::v1::AgentStatus& status) { return status.phase() == control::v1::PHASE_FAILED; });
  ASSERT_TRUE(refused);
  for (const char* part :
       {"client pod 0 has a model with the hash", "w float64 [3] there", "w float64 [4] here"})
    EXPECT_NE(refused->message().find(part), std::string::npos) << refused->message();
  first->terminate();
  second->terminate();
  EXPECT_EQ(second->wait_exit(std::chrono::seconds(10)), 65);
}

TEST_F(ProgramFederation, ResumesWithTheSameModelAndRefusesAnother) {
  federation_.rounds = 200;
  std::int64_t round = 0;
  {
    auto server = aggregator();
    const auto first = client(0, 3, halfway);
    const auto second = client(1, 3, halfway);
    ASSERT_TRUE(server->until(committed(3)));
    server->kill_now();
    first->terminate();
    second->terminate();
  }
  {
    auto server = aggregator();  // which waits for a client that fits
    const auto odd = client(0, 4, halfway);
    const auto refused = odd->until(
        [](const control::v1::AgentStatus& status) { return status.phase() == control::v1::PHASE_FAILED; });
    ASSERT_TRUE(refused);
    for (const char* part : {"spec.aggregator.storage", "the program of client pod 0", "w float64 [3] there",
                             "w float64 [4] here"})
      EXPECT_NE(refused->message().find(part), std::string::npos) << refused->message();
    odd->terminate();
    server->terminate();
    EXPECT_EQ(server->wait_exit(std::chrono::seconds(30)), kExitStopped) << server->log();
  }
  auto server = aggregator();
  const auto first = client(0, 3, halfway);
  const auto last = server->until([&](const control::v1::AgentStatus& status) {
    if (round == 0) round = status.aggregator().round();
    return round > 0;
  });
  ASSERT_TRUE(last);
  EXPECT_GE(round, 3);
  first->terminate();
}

}  // namespace
}  // namespace muster
