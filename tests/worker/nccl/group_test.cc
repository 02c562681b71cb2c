// tests/worker/nccl/group_test.cc: ranks that meet, sum, hang, fail and shrink by a fake NCCL, over a real
// mesh
#include "worker/nccl/group.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/worker/mesh_support.h"
#include "tests/worker/nccl/fake.h"

namespace muster::worker::nccl::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using worker::test::on_all_ranks;
using worker::test::soon;
using worker::test::tcp_mesh;
using worker::test::Wires;

constexpr milliseconds kAbortTime{400};

// Ranks of one job in this process, a thread each.
class Ranks {
 public:
  explicit Ranks(int size, Fake fake = Fake::kCurrent) {
    for (int rank = 0; rank < size; ++rank) {
      groups_.push_back(
          std::make_unique<Group>(Group::Options{.names = names_of(fake), .abort_time = kAbortTime}));
      names_.push_back(fmt::format("10.0.0.{}:8471", rank));
    }
  }
  ~Ranks() {
    collectives_.clear();
    meshes_.clear();
  }
  [[nodiscard]] int size() const { return static_cast<int>(groups_.size()); }
  Group& group(int rank) { return *groups_[static_cast<std::size_t>(rank)]; }
  Collective& at(int rank) { return *collectives_[static_cast<std::size_t>(rank)]; }
  Mesh& mesh(int rank) { return *meshes_[static_cast<std::size_t>(rank)]; }
  void use(int rank, Fake fake) {
    groups_[static_cast<std::size_t>(rank)] =
        std::make_unique<Group>(Group::Options{.names = names_of(fake), .abort_time = kAbortTime});
  }
  // The process of this rank ends; those behind it move up.
  void remove(int rank) {
    collectives_.clear();
    groups_.erase(groups_.begin() + rank);
    names_.erase(names_.begin() + rank);
  }
  void add() {
    groups_.push_back(
        std::make_unique<Group>(Group::Options{.names = names_of(Fake::kCurrent), .abort_time = kAbortTime}));
    names_.push_back("10.0.1.9:8471");
  }
  std::vector<Status> meet(milliseconds limit = seconds(20)) {
    collectives_.clear();
    meshes_ = tcp_mesh(size(), Wires::kPlain);
    collectives_.resize(groups_.size());
    std::vector<Status> results(groups_.size());
    ++membership_;
    on_all_ranks(size(), [&](int rank) {
      const auto i = static_cast<std::size_t>(rank);
      auto made = group(rank).meet({.number = membership_, .peers = names_}, mesh(rank), Topology::kRing,
                                   deadline_after(limit));
      if (made) {
        collectives_[i] = *std::move(made);
      } else {
        results[i] = made.error();
        mesh(rank).leave(made.error());
      }
    });
    return results;
  }
  // A sum of whole numbers on every rank; each leaves after an error, as a worker does.
  std::vector<Status> sum(std::size_t length, milliseconds limit = seconds(20)) {
    std::vector<Status> results(groups_.size());
    took_ = {};
    on_all_ranks(size(),
                 [&](int rank) { results[static_cast<std::size_t>(rank)] = sum_on(rank, length, limit); });
    return results;
  }
  [[nodiscard]] milliseconds took() const { return milliseconds(took_.load()); }  // the longest

 private:
  Status sum_on(int rank, std::size_t length, milliseconds limit) {
    std::vector<float> values(length);
    for (std::size_t i = 0; i < length; ++i)
      values[i] = static_cast<float>(static_cast<int>(i % 1000) * (rank + 1));
    const auto begun = steady_clock::now();
    Status done = at(rank).all_reduce_sum(values, Traffic::kPayload, deadline_after(limit), 0);
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun).count();
    for (auto seen = took_.load(); seen < took && !took_.compare_exchange_weak(seen, took);) continue;
    if (!done) {
      at(rank).leave(unavailable(done.error().message));
      return done;
    }
    const int factor = size() * (size() + 1) / 2;
    for (std::size_t i = 0; i < length; ++i)
      if (values[i] != static_cast<float>(static_cast<int>(i % 1000) * factor))
        return internal_error(fmt::format("element {} is {}", i, values[i]));
    return {};
  }

  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Mesh>> meshes_;
  std::vector<std::unique_ptr<Collective>> collectives_;
  std::int64_t membership_ = 0;
  std::atomic<milliseconds::rep> took_ = 0;
};

void expect_all_well(const std::vector<Status>& results) {
  for (std::size_t rank = 0; rank < results.size(); ++rank)
    EXPECT_TRUE(results[rank]) << "rank " << rank << ": " << results[rank].error().message;
}

TEST(NcclGroup, SumsWholeNumbersExactlyOnEveryRankAtEveryLength) {
  for (const int size : {2, 3, 4}) {
    Ranks ranks(size);
    expect_all_well(ranks.meet());
    for (const std::size_t length : {1U, 2U, 101U, 4099U, 300'007U}) expect_all_well(ranks.sum(length));
    EXPECT_EQ(ranks.at(0).bytes_sent().payload, 0U) << "NCCL does not tell what it sends";
    on_all_ranks(size, [&](int rank) { ranks.at(rank).leave({}); });
  }
}

TEST(NcclGroup, WhatCountsAsControlGoesOverTheMesh) {
  Ranks ranks(2);
  expect_all_well(ranks.meet());
  const Faulty faulty("call=ncclAllReduce do=fail=2");
  on_all_ranks(2, [&](int rank) {
    std::vector<float> values{1, 2};
    EXPECT_TRUE(ranks.at(rank).all_reduce_sum(values, Traffic::kControl, soon(), 0));
    EXPECT_EQ(values[1], 4);
    EXPECT_TRUE(ranks.at(rank).barrier(soon()));
  });
}

struct Hang {
  const char* name;
  const char* rules;
  bool in_meeting = false;  // else in the second sum
  const char* words = "";   // of some rank
};
class NcclHang : public testing::TestWithParam<Hang> {};
INSTANTIATE_TEST_SUITE_P(
    Calls, NcclHang,
    testing::Values(
        Hang{"DeviceCount", "call=cudaGetDeviceCount do=hang", true,
             "looking for GPUs did not return in time"},
        Hang{"UniqueId", "call=ncclGetUniqueId do=hang", true, "ncclGetUniqueId did not return in time"},
        Hang{"Init", "rank=1 call=ncclCommInitRankConfig do=hang", true,
             "ncclCommInitRankConfig has not returned"},
        Hang{"InitInProgress", "rank=1 call=ncclCommGetAsyncError do=async=7", true,
             "ncclCommInitRankConfig is still in progress"},
        Hang{"InitState", "rank=0 call=ncclCommGetAsyncError do=hang", true, "rank 0"},
        Hang{"AllReduce", "rank=1 at=2 call=ncclAllReduce do=hang", false, "ncclAllReduce has not returned"},
        Hang{"Kernel", "rank=0 at=2 call=ncclAllReduce do=stall", false,
             "ncclAllReduce is still in progress"},
        Hang{"Event", "call=cudaEventQuery do=hang", false, "ncclAllReduce is still in progress"},
        Hang{"AbortToo", "rank=1 at=2 call=ncclAllReduce do=stall; rank=1 call=ncclCommAbort do=hang", false,
             "sum 2 of this membership"}),
    [](const auto& hang) { return hang.param.name; });

TEST_P(NcclHang, EndsByItsDeadlineOnEveryRankWithRankAndRemedy) {
  constexpr milliseconds kLimit{600};
  constexpr milliseconds kSlack{2'500};  // a loaded machine's, and the mesh's verdict
  Ranks ranks(2);
  std::vector<Status> results;
  const auto begun = steady_clock::now();
  {
    const Faulty faulty(GetParam().rules);
    results = ranks.meet(GetParam().in_meeting ? kLimit : milliseconds(20'000));
    if (!GetParam().in_meeting) {
      const bool first = std::string_view(GetParam().name) == "Event";
      expect_all_well(results);
      if (!first) expect_all_well(ranks.sum(1000));
      results = ranks.sum(1000, kLimit);
      EXPECT_LT(ranks.took(), kLimit + kSlack);
    } else {
      EXPECT_LT(steady_clock::now() - begun, kLimit + kSlack);
    }
    bool told = false;
    for (const Status& result : results) {
      if (result && GetParam().in_meeting) continue;  // it has met, and hears of the other in its first sum
      ASSERT_FALSE(result);
      EXPECT_THAT(result.error().code, AnyOf(Code::kDeadlineExceeded, Code::kUnavailable, Code::kInternal));
      EXPECT_THAT(result.error().message, AnyOf(HasSubstr("look at"), HasSubstr("NCCL_DEBUG=INFO")));
      told = told || result.error().message.find(GetParam().words) != std::string::npos;
    }
    EXPECT_TRUE(told) << (results[0] ? "" : results[0].error().message) << "\n"
                      << (results[1] ? "" : results[1].error().message);
    if (std::string_view(GetParam().name) == "AbortToo") {
      const Status closed = ranks.group(1).close();
      ASSERT_FALSE(closed);
      EXPECT_EQ(closed.error().code, Code::kInternal);
      EXPECT_THAT(closed.error().message, HasSubstr("ncclCommAbort has not returned"));
    }
  }
}

TEST(NcclGroup, AfterAHangTheNextMembershipSumsAgain) {
  Ranks ranks(2);
  {
    const Faulty faulty("rank=1 at=1 call=ncclAllReduce do=stall");
    expect_all_well(ranks.meet());
    for (const Status& result : ranks.sum(100, milliseconds(300))) EXPECT_FALSE(result);
  }
  expect_all_well(ranks.meet());
  EXPECT_FALSE(ranks.group(0).shrunk());
  expect_all_well(ranks.sum(100));
}

TEST(NcclGroup, AnErrorOfOneRanksGpuIsItsOwnAndTheOthersHearOfIt) {
  Ranks ranks(2);
  const Faulty faulty("rank=1 at=2 call=ncclAllReduce do=async=2");
  expect_all_well(ranks.meet());
  expect_all_well(ranks.sum(10));
  const auto results = ranks.sum(10);
  ASSERT_TRUE(!results[0] && !results[1]);
  EXPECT_EQ(results[1].error().code, Code::kInternal) << "its process ends";
  EXPECT_THAT(results[1].error().message,
              AllOf(HasSubstr("rank 1: sum 2"), HasSubstr("ncclSystemError (2): the fake says so"),
                    HasSubstr("GPU, driver and network")));
  EXPECT_EQ(results[0].error().code, Code::kUnavailable) << results[0].error().message;
}

TEST(NcclGroup, ALostRankEndsASumAtOnceAndTheRestShrinks) {
  Ranks ranks(3);
  expect_all_well(ranks.meet());
  expect_all_well(ranks.sum(1000));
  std::vector<Status> results(3);
  const auto begun = steady_clock::now();
  on_all_ranks(3, [&](int rank) {
    if (rank == 1) return ranks.mesh(1).leave(unavailable("rank 1 (10.0.0.1:8471) ended: killed"));
    std::vector<float> values(1000, 1.0F);
    results[static_cast<std::size_t>(rank)] =
        ranks.at(rank).all_reduce_sum(values, Traffic::kPayload, deadline_after(seconds(30)), 0);
  });
  EXPECT_LT(steady_clock::now() - begun, seconds(3)) << "not by its deadline";
  for (const int rank : {0, 2}) {
    ASSERT_FALSE(results[static_cast<std::size_t>(rank)]);
    EXPECT_EQ(results[static_cast<std::size_t>(rank)].error().code, Code::kUnavailable);
    EXPECT_THAT(results[static_cast<std::size_t>(rank)].error().message,
                HasSubstr("rank 1 (10.0.0.1:8471) ended"));
  }
  ranks.remove(1);
  expect_all_well(ranks.meet());
  EXPECT_TRUE(ranks.group(0).shrunk() && ranks.group(1).shrunk());
  expect_all_well(ranks.sum(1000));
  ranks.add();  // a late joiner: all begin anew
  expect_all_well(ranks.meet());
  EXPECT_FALSE(ranks.group(0).shrunk());
  expect_all_well(ranks.sum(1000));
}

TEST(NcclGroup, WhereNcclCannotShrinkTheRestJoinsAnew) {
  Ranks ranks(3, Fake::kOld);
  expect_all_well(ranks.meet());
  ranks.remove(2);
  expect_all_well(ranks.meet());
  EXPECT_FALSE(ranks.group(0).shrunk());
  expect_all_well(ranks.sum(1000));
}

TEST(NcclGroup, AShrinkThatHangsEndsByItsDeadlineAndTheNextMembershipJoinsAnew) {
  Ranks ranks(3);
  expect_all_well(ranks.meet());
  ranks.remove(2);
  {
    const Faulty faulty("rank=0 call=ncclCommShrink do=hang");
    const auto results = ranks.meet(milliseconds(500));
    ASSERT_FALSE(results[0]);
    EXPECT_THAT(results[0].error().message, HasSubstr("ncclCommShrink"));
  }
  expect_all_well(ranks.meet());
  expect_all_well(ranks.sum(10));
}

TEST(NcclGroup, AnAbortFromOutsideEndsASumAtOnce) {
  Ranks ranks(2);
  const Faulty faulty("at=1 call=ncclAllReduce do=stall");
  expect_all_well(ranks.meet());
  std::thread breaker([&] {
    for (int rank = 0; rank < 2; ++rank) ranks.mesh(rank).abort();
  });
  const auto results = ranks.sum(10);
  breaker.join();
  EXPECT_LT(ranks.took(), seconds(5));
  for (const Status& result : results) {
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().code, AnyOf(Code::kAborted, Code::kUnavailable));
  }
}

TEST(NcclGroup, RanksWithDifferentVersionsAreTold) {
  Ranks ranks(2);
  ranks.use(1, Fake::kOld);
  for (const Status& result : ranks.meet()) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kFailedPrecondition);
    EXPECT_THAT(result.error().message,
                HasSubstr("rank 0 has NCCL 2.32.3, rank 1 has 2.26.5; use one image for all workers"));
  }
}

TEST(NcclGroup, ARankWithoutAGpuIsNamedByTheOthers) {
  Ranks ranks(2);
  ranks.use(1, Fake::kOld);
  const Faulty faulty("call=cudaGetDeviceCount do=fail=100", Fake::kOld);
  const auto results = ranks.meet();
  ASSERT_TRUE(!results[0] && !results[1]);
  EXPECT_THAT(results[0].error().message, HasSubstr("rank 1 has no NCCL or no GPU"));
  EXPECT_THAT(results[1].error().message, HasSubstr("this worker sees no GPU"));
}

}  // namespace
}  // namespace muster::worker::nccl::test
