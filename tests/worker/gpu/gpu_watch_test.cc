// tests/worker/gpu/gpu_watch_test.cc: figures and errors of a GPU that does not exist
#include "worker/gpu/gpu_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "common/pods/device_failure.h"
#include "worker/gpu/xid.h"

namespace muster::worker::gpu::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What the watch tells, and a wait for it.
struct Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Reading> reading;
  std::optional<XidEvent> event;
  std::string lines;

  GpuWatch::Options options(const std::string& library = MUSTER_FAKE_NVML) {
    return {.library = library,
            .interval = std::chrono::milliseconds(20),
            .read =
                [this](std::size_t, const std::string& uuid, const Reading& seen) {
                  EXPECT_EQ(uuid, "GPU-fake-7");
                  note([&] { reading = seen; });
                },
            .xid = [this](const XidEvent& seen, const std::string&) { note([&] { event = seen; }); },
            .log = [this](const std::string& line) { note([&] { lines += line; }); }};
  }
  template <typename Change>
  void note(Change change) {
    const std::scoped_lock lock(mutex);
    change();
    changed.notify_all();
  }
  template <typename Wanted>
  bool wait_for(Wanted wanted) {
    std::unique_lock lock(mutex);
    for (int i = 0; i < 3'000; ++i)  // also what nobody notes
      if (changed.wait_for(lock, std::chrono::milliseconds(10), wanted) || wanted()) return true;
    return false;
  }
};

class GpuWatchTest : public testing::Test {
 protected:
  static void tell(const char* what) {
    setenv("MUSTER_FAKE_NVML", what, 1);
  }                                                           // NOLINT(concurrency-mt-unsafe)
  ~GpuWatchTest() override { unsetenv("MUSTER_FAKE_NVML"); }  // NOLINT(concurrency-mt-unsafe)
  Heard heard_;
};

TEST_F(GpuWatchTest, ReadsWhatTheGpuTells) {
  tell("mute");
  const GpuWatch watch(heard_.options());
  ASSERT_TRUE(heard_.wait_for([&] { return heard_.reading.has_value(); }));
  const std::scoped_lock lock(heard_.mutex);
  EXPECT_EQ(heard_.reading->utilization, 0.42);
  EXPECT_EQ(heard_.reading->memory_used_bytes, 1000U);
  EXPECT_EQ(heard_.reading->memory_bytes, 1ULL << 34);
  EXPECT_EQ(heard_.reading->temperature_celsius, 61.0);
  EXPECT_FALSE(heard_.reading->power_watts) << "it does not tell";
  EXPECT_FALSE(watch.failure());
}

TEST_F(GpuWatchTest, AnXidThatNeedsAnotherGpuIsAFailureOfTheDevice) {
  tell("xid=79");
  const GpuWatch watch(heard_.options());
  ASSERT_TRUE(heard_.wait_for([&] { return watch.failure().has_value(); }));
  EXPECT_TRUE(tells_of_failed_device(*watch.failure()));
  EXPECT_THAT(*watch.failure(),
              AllOf(HasSubstr("GPU-fake-7"), HasSubstr("XID 79, it has fallen off the bus")));
  EXPECT_EQ(heard_.event->xid, 79U);
}

TEST_F(GpuWatchTest, AnXidOfTheProgramIsToldAndNoFailure) {
  tell("xid=31");
  const GpuWatch watch(heard_.options());
  ASSERT_TRUE(heard_.wait_for([&] { return heard_.event.has_value(); }));
  EXPECT_FALSE(watch.failure());
}

TEST_F(GpuWatchTest, AGpuThatIsLostIsAFailureOfTheDevice) {
  tell("lost");
  const GpuWatch watch(heard_.options());
  ASSERT_TRUE(heard_.wait_for([&] { return watch.failure().has_value(); }));
  EXPECT_THAT(*watch.failure(), HasSubstr("the driver has lost it"));
}

TEST_F(GpuWatchTest, ADriverThatDoesNotWorkIsToldOnceAndNoDriverIsNoWord) {
  tell("broken");
  {
    const GpuWatch watch(heard_.options());
    ASSERT_TRUE(heard_.wait_for([&] { return !heard_.lines.empty(); }));
    EXPECT_THAT(heard_.lines, HasSubstr("Driver Not Loaded; figures of GPUs are left out"));
    heard_.lines.clear();
  }
  { const GpuWatch none(heard_.options("libnvidia-ml-is-not-here.so.1")); }
  EXPECT_EQ(heard_.lines, "");
}

TEST(Xid, SomeAskForAnotherGpuSomeForANewProcessUnknownOnesForNothing) {
  for (const std::uint64_t xid : {48U, 62U, 64U, 74U, 79U, 95U, 119U, 140U})
    EXPECT_TRUE(needs_another_gpu(xid)) << xid;
  for (const std::uint64_t xid : {13U, 31U, 43U, 45U, 63U, 94U, 12345U})
    EXPECT_FALSE(needs_another_gpu(xid)) << xid;
  EXPECT_EQ(xid_words(12345), "XID 12345");
}

TEST(DeviceFailure, OnlyTheWordsOfItsOwnWorkerCount) {
  const std::string words = failed_device_words("GPU-7", "XID 79");
  EXPECT_TRUE(tells_of_failed_device(words));
  EXPECT_FALSE(tells_of_failed_device("rank 1 (10.0.0.2:8471) ended: " + words)) << "a peer's";
}

}  // namespace
}  // namespace muster::worker::gpu::test
