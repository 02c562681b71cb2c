// tests/learning/doubts_test.cc: which ends of a training are told as doubtful
#include "learning/doubts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace muster::learning {
namespace {

using testing::HasSubstr;

std::string doubt(const TrainingEnd& end) { return doubt_about(end).value_or(""); }

TEST(Doubts, AreAboutALossFarAboveGuessing) {
  const std::string words =
      doubt({.first_loss = 2.3, .last_loss = 8e6, .accuracy = 0.1, .classes = 10, .steps = 900});
  EXPECT_THAT(words,
              HasSubstr("loss of 8e+06 and the accuracy is 10.0 %: guessing among 10 classes has 2.303"));
  EXPECT_THAT(words, HasSubstr("optimizer.learningRate"));
  EXPECT_THAT(doubt({.first_loss = 500, .last_loss = 3, .classes = 2, .steps = 3}), HasSubstr("guessing"))
      << "also where it fell";
}

TEST(Doubts, AreAboutALossFarAboveTheFirst) {
  EXPECT_THAT(doubt({.first_loss = 0.2, .last_loss = 1.1, .accuracy = 0.6, .classes = 10, .steps = 900}),
              HasSubstr("it began with 0.2, so the training diverged"));
}

TEST(Doubts, AreAboutTheLossOfAProgramToo) {
  EXPECT_THAT(doubt({.first_loss = 0.2, .last_loss = 8e6, .steps = 900}),
              HasSubstr("loss of 8e+06: it began with 0.2, so the training diverged; lower the program's"));
  EXPECT_THAT(doubt({.first_loss = -1, .last_loss = 5, .steps = 900}), HasSubstr("diverged"));
  EXPECT_EQ(doubt({.first_loss = 0, .last_loss = 0.4, .steps = 900}), "") << "as a penalty begins";
  EXPECT_EQ(doubt({.first_loss = 0.01, .last_loss = 0.03, .steps = 900}), "") << "as a trained model goes on";
  EXPECT_THAT(doubt({.first_loss = 0, .last_loss = 40, .steps = 900}), HasSubstr("diverged"));
  EXPECT_EQ(doubt({.first_loss = 90, .last_loss = 100, .steps = 900}), "") << "a regression";
  EXPECT_EQ(doubt({.first_loss = -1, .last_loss = -1.5, .steps = 900}), "") << "a log-likelihood";
  EXPECT_EQ(doubt({.first_loss = 0.2, .last_loss = HUGE_VAL, .steps = 900}), "") << "an error elsewhere";
}

TEST(Doubts, AreAboutAModelThatLearntNothing) {
  EXPECT_THAT(doubt({.first_loss = 2.31, .last_loss = 2.3026, .accuracy = 0.1, .classes = 10, .steps = 900}),
              HasSubstr("no better than guessing among 10 classes"));
  EXPECT_EQ(doubt({.first_loss = 2.31, .last_loss = 2.3026, .accuracy = 0.1, .classes = 10, .steps = 20}), "")
      << "hardly begun";
  EXPECT_EQ(doubt({.first_loss = 0.7, .last_loss = 0.69, .accuracy = 0.9, .classes = 2, .steps = 900}), "")
      << "unsure, but right";
}

TEST(Doubts, AreNoneAboutATrainingThatLearnt) {
  EXPECT_EQ(doubt({.first_loss = 2.3, .last_loss = 0.3, .accuracy = 0.89, .classes = 10, .steps = 900}), "");
  EXPECT_EQ(doubt({.first_loss = 900, .last_loss = 0.3, .accuracy = 0.89, .classes = 10, .steps = 900}), "");
  EXPECT_EQ(doubt({.first_loss = 0.7, .last_loss = 0.6, .classes = 2, .steps = 1}), "");
  EXPECT_EQ(doubt({.classes = 10}), "") << "nothing was trained";
}

TEST(LossText, IsWhatPeopleLookFor) {
  EXPECT_EQ(loss_text(-std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(loss_text(-HUGE_VAL), "infinite");
  EXPECT_EQ(loss_text(0.25), "0.25");
}

}  // namespace
}  // namespace muster::learning
