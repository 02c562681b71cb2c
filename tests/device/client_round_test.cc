// tests/device/client_round_test.cc: one client's machine: the way of a task, breaks, and the way home
#include "device/client_round.h"

#include <gtest/gtest.h>

namespace muster::device {
namespace {

using namespace std::chrono_literals;

class ClientRoundTest : public testing::Test {
 protected:
  template <typename Expected>
  void expect(const Event& event) {
    auto effects = round_.step(event, now_);
    ASSERT_TRUE(effects) << effects.error().message;
    ASSERT_EQ(effects->size(), 1U);
    EXPECT_TRUE(std::holds_alternative<Expected>((*effects)[0])) << effects->front().index();
  }
  void expect_nothing(const Event& event) {
    auto effects = round_.step(event, now_);
    ASSERT_TRUE(effects) << effects.error().message;
    EXPECT_TRUE(effects->empty());
  }
  void give_task() {
    expect<CheckIn>(Begin{});
    expect<WantSlot>(GivenTask{
        {.round = 3, .task_id = "t", .model_bytes = 8, .model_sha256 = "", .deadline = now_ + 60s}});
  }
  // Lets the machine's own deadline come.
  void wake() {
    ASSERT_TRUE(round_.next_deadline());
    now_ = *round_.next_deadline();
  }
  // The first try of a task's download fails; the second is under way.
  void break_download() {
    expect<Download>(SlotGranted{});
    expect_nothing(CallFailed{broken()});
    EXPECT_TRUE(round_.unreachable_since());
    wake();
    expect<Download>(Tick{});
  }
  static Error broken() { return unavailable("the link broke"); }

  Instant now_{1h};
  ClientRound round_{ClientOptions{.transfer_attempts = 3, .seed = 1}};
};

// It was fetched again and again until the round was due, which may be a day.
TEST_F(ClientRoundTest, ADamagedModelIsNoProgressHoweverMuchOfItCame) {
  give_task();
  break_download();
  const CallFailed damaged{data_loss("another SHA-256"), 4'000};
  expect_nothing(damaged);
  wake();
  expect<Download>(Tick{});
  expect<ReleaseSlot>(damaged);  // the third try
}

TEST_F(ClientRoundTest, GoesTheWayOfATask) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<Train>(ModelReceived{});
  expect<Upload>(TrainingDone{});
  const auto effects = round_.step(UpdateAnswered{Verdict::kAccepted}, now_);
  ASSERT_TRUE(effects);
  ASSERT_EQ(effects->size(), 2U);
  EXPECT_TRUE(std::get<ReleaseSlot>((*effects)[0]).sent);
  EXPECT_TRUE(std::holds_alternative<CheckIn>((*effects)[1]));
}

TEST_F(ClientRoundTest, GoesOnWithABrokenDownload) {
  give_task();
  break_download();
  expect<Train>(ModelReceived{});
  EXPECT_FALSE(round_.unreachable_since());
}

TEST_F(ClientRoundTest, GivesATransferUpThatDoesNotMove) {
  give_task();
  expect<Download>(SlotGranted{});
  expect_nothing(CallFailed{broken()});
  wake();
  expect<Download>(Tick{});
  expect_nothing(CallFailed{broken()});
  wake();
  expect<Download>(Tick{});
  expect<ReleaseSlot>(CallFailed{broken()});
  wake();
  expect<CheckIn>(Tick{});
}

TEST_F(ClientRoundTest, ATransferThatMovesMayBreakManyTimes) {
  give_task();
  expect<Download>(SlotGranted{});
  for (int i = 0; i < 4; ++i) {
    expect_nothing(CallFailed{broken(), 100});
    wake();
    expect<Download>(Tick{});
  }
}

TEST_F(ClientRoundTest, AnAggregatorThatMovesBytesIsThere) {
  give_task();
  break_download();
  expect_nothing(CallFailed{deadline_exceeded("the transfer took too long"), 100});
  EXPECT_FALSE(round_.unreachable_since());
}

TEST_F(ClientRoundTest, KeepsItsUpdateWhileTheAggregatorHasNoRoomForIt) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<Train>(ModelReceived{});
  expect<Upload>(TrainingDone{});
  const Instant deadline = round_.task().deadline;
  int tries = 0;
  while (true) {
    const auto effects = round_.step(CallFailed{resource_exhausted("no memory just now")}, now_);
    ASSERT_TRUE(effects);
    EXPECT_FALSE(round_.unreachable_since()) << "it answers";
    if (!effects->empty()) {
      EXPECT_TRUE(std::holds_alternative<ReleaseSlot>(effects->front()));
      break;
    }
    const Instant before = now_;
    wake();
    EXPECT_LE(now_ - before, 1s) << "room comes with each update that is folded";
    ASSERT_LT(now_, deadline);
    expect<Upload>(Tick{});
    ++tries;
  }
  EXPECT_GT(tries, 50) << "it goes on until the deadline";
  EXPECT_LT(deadline - now_, 1s);
}

TEST_F(ClientRoundTest, DropsATaskWhoseRoundIsOver) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<ReleaseSlot>(CallFailed{aborted("the round is over")});
}

TEST_F(ClientRoundTest, DropsATaskThatWaitedTooLongForItsSlot) {
  give_task();
  now_ += 61s;
  expect<ReleaseSlot>(SlotGranted{});
  EXPECT_EQ(round_.state(), ClientState::kIdle);
}

TEST_F(ClientRoundTest, TellsWhyItCouldNotTrain) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<Train>(ModelReceived{});
  const auto effects = round_.step(TrainingFailed{data_loss("the loss is not finite")}, now_);
  ASSERT_TRUE(effects);
  EXPECT_EQ(std::get<ReportFailure>(effects->at(0)).reason, "the loss is not finite");
}

TEST_F(ClientRoundTest, ReportsATrainingThatTheDeadlineEnded) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<Train>(ModelReceived{});
  now_ += 60s;
  const auto effects = round_.step(TrainingFailed{aborted("local training: cancelled")}, now_);
  ASSERT_TRUE(effects);
  EXPECT_NE(std::get<ReportFailure>(effects->at(0)).reason.find("stragglers.deadlineSeconds"),
            std::string::npos);
  const auto answered = round_.step(UpdateAnswered{Verdict::kLate}, now_);
  ASSERT_TRUE(answered);
  EXPECT_FALSE(std::get<ReleaseSlot>(answered->at(0)).sent);
  EXPECT_TRUE(std::holds_alternative<CheckIn>(answered->at(1)));
}

TEST_F(ClientRoundTest, LeavesATrainingThatIsStoppedBeforeItsDeadline) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<Train>(ModelReceived{});
  expect<ReleaseSlot>(TrainingFailed{aborted("local training: cancelled")});
}

TEST_F(ClientRoundTest, GivesUpWhenItsCheckInIsRefused) {
  for (const Code code : {Code::kPermissionDenied, Code::kInvalidArgument}) {
    round_ = ClientRound(ClientOptions{});
    expect<CheckIn>(Begin{});
    const auto effects = round_.step(CallFailed{Error{code, "no such client"}}, now_);
    ASSERT_TRUE(effects);
    EXPECT_EQ(std::get<GiveUp>(effects->at(0)).error.message, "no such client");
    EXPECT_EQ(round_.state(), ClientState::kHome);
    EXPECT_FALSE(round_.next_deadline());
    EXPECT_FALSE(round_.unreachable_since());
  }
}

TEST_F(ClientRoundTest, BacksOffLongerAndLongerWhileTheAggregatorIsAway) {
  expect<CheckIn>(Begin{});
  std::chrono::nanoseconds before{0};
  for (int i = 0; i < 12; ++i) {
    expect_nothing(CallFailed{broken()});
    const auto pause = *round_.next_deadline() - now_;
    if (i == 0) {
      EXPECT_LE(pause, 200ms);
    }
    EXPECT_LE(pause, 10s);  // 5 s and its jitter
    before = std::max<std::chrono::nanoseconds>(before, pause);
    wake();
    expect<CheckIn>(Tick{});
  }
  EXPECT_GT(before, 2s);
}

TEST_F(ClientRoundTest, ComesBackWhenItIsTold) {
  expect<CheckIn>(Begin{});
  expect<CheckIn>(ToldToComeBack{0ms});
  expect_nothing(ToldToComeBack{500ms});
  now_ += 499ms;
  expect_nothing(Tick{});
  now_ += 1ms;
  expect<CheckIn>(Tick{});
}

TEST_F(ClientRoundTest, GoesHomeFromAnyState) {
  give_task();
  expect<Download>(SlotGranted{});
  const auto effects = round_.step(ToldDone{"all rounds are done"}, now_);
  ASSERT_TRUE(effects);
  EXPECT_TRUE(std::holds_alternative<ReleaseSlot>(effects->at(0)));
  EXPECT_EQ(std::get<GoHome>(effects->at(1)).reason, "all rounds are done");
  expect_nothing(ToldDone{"again"});
}

TEST_F(ClientRoundTest, WrongEventsAreErrorsAndChangeNothing) {
  give_task();
  const std::vector<Event> wrong{
      Begin{},        ToldToComeBack{},         GivenTask{},     CallFailed{broken()}, ModelReceived{},
      TrainingDone{}, TrainingFailed{broken()}, UpdateAnswered{}};
  for (const Event& event : wrong) {
    EXPECT_FALSE(round_.step(event, now_)) << event.index();
    EXPECT_EQ(round_.state(), ClientState::kQueued);
  }
}

// What a check-in says of the update of round 3, which was accepted.
TEST_F(ClientRoundTest, HearsWithTheNextTaskWhetherItsUpdateCounts) {
  const struct {
    const char* what;
    CountedWord word;
    std::optional<bool> settled;
  } cases[] = {{"in a committed model", {.round = 3}, true},
               {"its round came to nothing", {.round = 2}, false},
               {"not known yet", {.round = 2, .undecided = true}, std::nullopt}};
  for (const auto& [what, word, settled] : cases) {
    SCOPED_TRACE(what);
    round_ = ClientRound(ClientOptions{.seed = 1});
    give_task();
    expect<Download>(SlotGranted{});
    expect<Train>(ModelReceived{});
    expect<Upload>(TrainingDone{});
    ASSERT_TRUE(round_.step(UpdateAnswered{Verdict::kAccepted}, now_));
    const auto effects = round_.step(
        GivenTask{{.round = 4, .task_id = "u", .model_sha256 = "", .deadline = now_ + 60s}, word}, now_);
    ASSERT_TRUE(effects);
    EXPECT_TRUE(std::holds_alternative<WantSlot>(effects->back()));
    EXPECT_EQ(round_.task().counted_round, word.round);
    ASSERT_EQ(effects->size(), settled ? 2U : 1U);
    if (settled) {
      EXPECT_EQ(std::get<Settled>((*effects)[0]).counted, *settled);
    }
  }
}

TEST_F(ClientRoundTest, AnAnswerWithoutATaskSettlesOnlyWhatCounts) {
  give_task();
  expect<Download>(SlotGranted{});
  expect<Train>(ModelReceived{});
  expect<Upload>(TrainingDone{});
  ASSERT_TRUE(round_.step(UpdateAnswered{Verdict::kAccepted}, now_));
  expect<CheckIn>(ToldToComeBack{.counted = {.round = 2}});  // the round is still under way
  const auto effects = round_.step(ToldToComeBack{.counted = {.round = 3}}, now_);
  ASSERT_TRUE(effects);
  ASSERT_EQ(effects->size(), 2U);
  EXPECT_TRUE(std::get<Settled>((*effects)[0]).counted);
}

TEST_F(ClientRoundTest, StopsSoEarlyThatItsUpdateIsThereInTimeByWhatTheLastOnesTook) {
  expect<CheckIn>(Begin{});
  const auto stop_of = [&](std::chrono::milliseconds download, std::chrono::milliseconds upload) {
    EXPECT_TRUE(round_.step(
        GivenTask{
            {.round = 1, .task_id = "t", .model_sha256 = "", .deadline = now_ + 60s, .accept_partial = true}},
        now_));
    const Instant deadline = now_ + 60s;
    EXPECT_TRUE(round_.step(SlotGranted{}, now_));
    now_ += download;
    const auto effects = round_.step(ModelReceived{}, now_);
    const auto stop = std::get<Train>(effects->at(0)).task.stop_at;
    EXPECT_TRUE(round_.step(TrainingDone{}, now_));
    now_ += upload;
    EXPECT_TRUE(round_.step(UpdateAnswered{Verdict::kAccepted}, now_));
    return std::chrono::duration_cast<std::chrono::milliseconds>(deadline - *stop);
  };
  EXPECT_EQ(stop_of(2s, 3s), 4s) << "before the first upload by twice its download";
  EXPECT_EQ(stop_of(0s, 8s), 6s) << "then by twice the upload";
  EXPECT_EQ(stop_of(0s, 1ms), 16s);
  EXPECT_EQ(stop_of(0s, 1ms), 12s) << "a slow one is remembered for a while";
  EXPECT_EQ(stop_of(50s, 1ms), 5s) << "no more than half of what is left";
}

}  // namespace
}  // namespace muster::device
