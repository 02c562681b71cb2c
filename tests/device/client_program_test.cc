// tests/device/client_program_test.cc: the clients of a pod, trained by a program: the C library against the
// device's end
#include "device/shell/client_program.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <tuple>

#include "tests/worker/fake_program.h"
#include "worker/program/muster_client.h"

namespace muster::device {
namespace {

using program::test::SocketFolder;
using std::chrono::milliseconds;
using std::chrono::seconds;

// As python/muster/_library.py knows them.
static_assert(sizeof(muster_federation) == 72 && sizeof(muster_round) == 48);

spec::Federation federation() {
  spec::Federation made;
  made.rounds = 9;
  made.clients = 20;
  made.training.program.emplace();
  made.training.local_epochs = 3;
  made.training.batch_size = 5;
  made.training.seed = 11;
  made.training.optimizer.learning_rate = 0.25;
  return made;
}

TaskTicket ticket(std::int64_t round, Instant::duration left = seconds(20)) {
  TaskTicket task;
  task.round = round;
  task.deadline = std::chrono::steady_clock::now() + left;
  task.settings.proximal_mu = 0.5;
  return task;
}

std::function<bool()> until(const TaskTicket& task) {
  return [end = task.deadline] { return std::chrono::steady_clock::now() >= end; };
}

// A device's end, and a program's thread that has a model of five parameters: w float64 [2, 2], n int64 [].
class Clients : public ::testing::Test {
 protected:
  ~Clients() override {
    if (thread_.joinable()) thread_.join();
  }
  void meet(std::function<void(muster_job*)> body) {
    auto listening = program::ProgramLink::listen({.path = folder_.socket()});
    ASSERT_TRUE(listening) << listening.error().message;
    link_ = *std::move(listening);
    ::setenv("MUSTER_SOCKET", folder_.socket().c_str(), 1);
    ::setenv("MUSTER_TERMINATION_LOG", (folder_.socket() + ".words").c_str(), 1);
    thread_ = std::thread([body = std::move(body)] {
      muster_job* job = muster_open_client();
      ASSERT_STREQ(muster_last_error(job), "");
      const std::int64_t shape[] = {2, 2};
      ASSERT_EQ(muster_register_typed(job, "w", MUSTER_FLOAT64, 2, shape), 0);
      ASSERT_EQ(muster_register_typed(job, "n", MUSTER_INT64, 0, nullptr), 0);
      EXPECT_EQ(muster_register_typed(job, "x", 99, 0, nullptr), -1);
      ASSERT_EQ(muster_allocate(job), 0) << muster_last_error(job);
      muster_parameters(job, nullptr)[4] = 40;
      ASSERT_EQ(muster_begin_client(job), 0);
      body(job);
      muster_close(job);
    });
    clients_ = std::make_unique<ClientProgram>(*link_, federation_);
    const Status met = clients_->meet(10, 5, deadline_after(seconds(20)));
    ASSERT_TRUE(met) << met.error().message;
  }

  SocketFolder folder_;
  const spec::Federation federation_ = federation();
  std::unique_ptr<program::ProgramLink> link_;
  std::unique_ptr<ClientProgram> clients_;
  std::thread thread_;
};

int next(muster_job* job) {
  muster_event event{};
  event.size = sizeof event;
  return muster_next(job, -1, &event) == 0 ? event.kind : -1;
}

const std::vector<float> kGlobal{1, 2, 3, 4, 50};

TEST_F(Clients, AreTrainedByTheProgramAndToldWhatTheManifestSays) {
  meet([](muster_job* job) {
    muster_federation told{};
    told.size = sizeof told;
    ASSERT_EQ(muster_get_federation(job, &told), 0);
    EXPECT_EQ(told.first_client, 10);
    EXPECT_EQ(told.clients, 5);
    EXPECT_EQ(told.total_clients, 20);
    EXPECT_EQ(told.rounds, 9);
    EXPECT_EQ(told.local_epochs, 3);
    EXPECT_EQ(told.batch_size, 5);
    EXPECT_EQ(told.learning_rate, 0.25);
    EXPECT_EQ(muster_update_ready(job, 1, 0, 0), -1) << "nothing is due";
    ASSERT_EQ(next(job), MUSTER_ROUND);
    muster_round round{};
    round.size = sizeof round;
    ASSERT_EQ(muster_get_round(job, &round), 0);
    EXPECT_EQ(round.client, 12);
    EXPECT_EQ(round.round, 3);
    EXPECT_EQ(round.mu, 0.5);
    EXPECT_GT(round.deadline_ms, 1000);
    EXPECT_GE(round.seed, 0);
    for (int i = 0; i < 5; ++i) muster_gradient(job, nullptr)[i] = muster_parameters(job, nullptr)[i] + 0.5F;
    const double none = std::numeric_limits<double>::quiet_NaN();
    const double infinite = std::numeric_limits<double>::infinity();
    for (const auto& [examples, loss, accuracy, says] :
         {std::tuple(0, 0.0, 0.0, "at least one example, not of 0"),
          std::tuple(-3, 0.0, 0.0, "at least one example, not of -3"),
          std::tuple(7, 0.5, 97.5, "accuracy is 97.5, but it is a share, 0 to 1; divide by 100"),
          std::tuple(7, none, -0.5, "accuracy is -0.5, but it is a share"),
          std::tuple(7, 0.5, infinite, "accuracy is inf, but it is a share"),
          std::tuple(7, -infinite, none, "loss is -inf"), std::tuple(7, 1e101, none, "loss is 1e+101")}) {
      EXPECT_EQ(muster_update_ready(job, examples, loss, accuracy), -1) << says;
      EXPECT_NE(std::string(muster_last_error(job)).find(says), std::string::npos) << muster_last_error(job);
    }
    ASSERT_EQ(muster_update_ready(job, 7, 0.75, std::numeric_limits<double>::quiet_NaN()), 0);
    ASSERT_EQ(next(job), MUSTER_END);
  });
  EXPECT_EQ(link_->model().tensors[0].type, program::Type::kFloat64);
  EXPECT_EQ(link_->parameters()[4], 40);
  const TaskTicket task = ticket(3);
  const auto update = clients_->train(12, task, kGlobal, until(task));
  ASSERT_TRUE(update) << update.error().message;
  EXPECT_EQ(update->delta, std::vector<float>(5, 0.5F));
  EXPECT_EQ(update->examples, 7U);
  EXPECT_EQ(update->loss, 0.75);
  EXPECT_EQ(update->accuracy, std::nullopt);
  EXPECT_TRUE(clients_->failure());
  link_->end(0, "{}", seconds(5));
}

TEST_F(Clients, WithoutAnUpdateAreToldOfInWords) {
  meet([](muster_job* job) {
    ASSERT_EQ(next(job), MUSTER_ROUND);
    ASSERT_EQ(muster_round_failed(job, "ValueError: my own mistake"), 0);
    ASSERT_EQ(next(job), MUSTER_ROUND);
    muster_gradient(job, nullptr)[3] = std::numeric_limits<float>::infinity();
    ASSERT_EQ(muster_update_ready(job, 7, 0, 0), 0);
    static_cast<void>(next(job));
  });
  const TaskTicket task = ticket(1);
  const auto failed = clients_->train(10, task, kGlobal, until(task));
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("ValueError: my own mistake"), std::string::npos);
  const auto infinite = clients_->train(11, task, kGlobal, until(task));
  ASSERT_FALSE(infinite);
  EXPECT_NE(infinite.error().message.find("client 11 has values that are not finite, in w float64 [2, 2]"),
            std::string::npos)
      << infinite.error().message;
  link_.reset();
}

TEST_F(Clients, OfAProgramThatIsLateWaitForItAndItsModelIsLeftAlone) {
  std::atomic<bool> go = false;
  meet([&go](muster_job* job) {
    ASSERT_EQ(next(job), MUSTER_ROUND);
    while (!go) std::this_thread::yield();
    EXPECT_EQ(muster_parameters(job, nullptr)[0], 1) << "as the round began";
    muster_gradient(job, nullptr)[0] = 99;
    ASSERT_EQ(muster_update_ready(job, 7, 0, 0), 0);
    ASSERT_EQ(next(job), MUSTER_ROUND);
    muster_gradient(job, nullptr)[0] = muster_parameters(job, nullptr)[0] + 1;
    ASSERT_EQ(muster_update_ready(job, 8, 0, 0), 0);
    static_cast<void>(next(job));
  });
  const std::vector<float> newer{7, 7, 7, 7, 7};
  for (int i = 0; i < 2; ++i) {
    const TaskTicket soon = ticket(1 + i, milliseconds(60));
    const auto late = clients_->train(10 + i, soon, i == 0 ? kGlobal : newer, until(soon));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::kAborted);
    EXPECT_TRUE(clients_->failure());
  }
  go = true;
  const TaskTicket task = ticket(3);
  const auto update = clients_->train(12, task, newer, until(task));
  ASSERT_TRUE(update) << update.error().message;
  EXPECT_EQ(update->examples, 8U);
  EXPECT_EQ(update->delta[0], 1);
  link_.reset();
}

TEST_F(Clients, OfAProgramThatHangsOrHasEndedAreGivenUp) {
  meet([](muster_job* job) {
    ASSERT_EQ(next(job), MUSTER_ROUND);
    EXPECT_EQ(muster_next(job, 0, nullptr), -1);
    while (muster_round_failed(nullptr, "") == -1 && std::getenv("MUSTER_TEST_GO_ON") == nullptr)
      std::this_thread::yield();
  });
  for (int i = 0; i < ClientProgram::kUnansweredMax; ++i) {
    EXPECT_TRUE(clients_->failure());
    const TaskTicket soon = ticket(1, milliseconds(20));
    EXPECT_FALSE(clients_->train(10, soon, kGlobal, until(soon)));
  }
  const Status hangs = clients_->failure();
  ASSERT_FALSE(hangs);
  EXPECT_NE(hangs.error().message.find("hangs"), std::string::npos);
  ::setenv("MUSTER_TEST_GO_ON", "1", 1);
  thread_.join();
  const TaskTicket task = ticket(2);
  const auto gone = clients_->train(10, task, kGlobal, until(task));
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().message.find("has ended"), std::string::npos) << gone.error().message;
  EXPECT_NE(clients_->failure().error().message.find("has ended"), std::string::npos);
}

TEST(ClientProgramLink, AProgramOfAJobIsToldWhatToCall) {
  const SocketFolder folder;
  auto link = program::ProgramLink::listen({.path = folder.socket()});
  ASSERT_TRUE(link);
  program::test::FakeProgram job(folder.socket());
  job.tell({.kind = program::Kind::kHello, .numbers = {program::kProtocol}}, program::test::bytes_of("test"));
  const Status met = (*link)->meet(program::Federation{}, deadline_after(seconds(20)));
  ASSERT_FALSE(met);
  EXPECT_NE(met.error().message.find("it calls muster.serve()"), std::string::npos) << met.error().message;
}

TEST(ClientProgramLink, AModelThatDoesNotFitThePodIsRefusedBeforeItsMemory) {
  const SocketFolder folder;
  auto link = program::ProgramLink::listen({.path = folder.socket(), .memory_max = 1 << 20});
  ASSERT_TRUE(link);
  std::thread thread([&folder] {
    program::test::FakeProgram client(folder.socket());
    client.tell({.kind = program::Kind::kHello,
                 .numbers = {program::kProtocol, static_cast<std::int64_t>(program::Part::kClient)}},
                program::test::bytes_of("test"));
    static_cast<void>(client.hear());
    client.tell({.kind = program::Kind::kTensors}, program::write_tensors({{"w", {1 << 20}}}));
    static_cast<void>(client.hear());
  });
  const Status met = (*link)->meet(program::Federation{}, deadline_after(seconds(20)));
  link->reset();
  thread.join();
  ASSERT_FALSE(met);
  EXPECT_NE(met.error().message.find("8 MiB"), std::string::npos) << met.error().message;
  EXPECT_NE(met.error().message.find("use a smaller model"), std::string::npos);
}

}  // namespace
}  // namespace muster::device
