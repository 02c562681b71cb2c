// tests/worker/worker_hostile_test.cc: real muster-worker processes whose data ports thousands of strangers
// call
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <regex>
#include <thread>

#include "tests/support/pod_figures.h"
#include "tests/worker/worker_pod.h"
#include "worker/transport/handshake.h"
#include "worker/transport/sockets.h"

namespace muster::worker::test {
namespace {

constexpr int kStrangers = 2'000;
constexpr std::size_t kOpenAtOnce = 150;
constexpr std::int64_t kExtraKib = 24 * 1024;  // what they may cost: 128 connections, at their dearest

// Calls the data ports of all pods in turns, from one address, and holds a part of its connections open:
// silent ones, garbage, half a hello, and a whole hello of the right membership without its key.
class Flood {
 public:
  explicit Flood(WorkerJob& job) {
    for (int rank = 0; rank < job.size(); ++rank) targets_.push_back(job.pod(rank).ip());
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  void await(int connections) {
    for (int seen = made_; seen < connections; seen = made_) made_.wait(seen);
  }

 private:
  void run(const std::stop_token& stop) {
    const Link link{.job_uid = kJobUid, .membership = 1, .line = {.dialer = 0, .acceptor = 1}, .size = 2};
    const auto hello = Handshake(Handshake::Role::kDialer, link, MembershipKey{}, Nonce{}).begin();
    const std::string garbage(300, 'G');
    const auto from = make_address(targets_[0].substr(0, targets_[0].rfind('.')) + ".250", 0);
    std::deque<Fd> open;
    for (int i = 0; !stop.stop_requested(); ++i) {
      const auto to = make_address(targets_[static_cast<std::size_t>(i) % targets_.size()], 8471);
      Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      (void)bind(fd.get(), reinterpret_cast<const sockaddr*>(&from->storage), from->length);
      // It waits where nobody accepts yet and the queue is full; a port whose ring is complete is closed.
      if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to->storage), to->length) == 0 ||
          errno == EINPROGRESS) {
        const std::size_t of_hello = i % 8 < 4 ? 50 : hello.size();
        if (i % 4 < 2) {
          (void)send(fd.get(), hello.data(), of_hello, MSG_NOSIGNAL);
        } else if (i % 4 == 2) {
          (void)send(fd.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
        }
        open.push_back(std::move(fd));
        if (open.size() > kOpenAtOnce) open.pop_front();
      }
      ++made_;
      made_.notify_all();
    }
  }

  std::vector<std::string> targets_;
  std::atomic<int> made_ = 0;
  std::jthread thread_;
};

int refused(const std::string& metrics) {  // for any reason
  static const std::regex kLine(R"re(muster_data_connections_refused_total\{reason="\w+"\} (\d+))re");
  int sum = 0;
  for (std::sregex_iterator line(metrics.begin(), metrics.end(), kLine), end; line != end; ++line)
    sum += std::stoi((*line)[1]);
  return sum;
}

class WorkerHostile : public testing::TestWithParam<bool> {};
std::string stream_name(const testing::TestParamInfo<bool>& info) { return info.param ? "Tls" : "Plain"; }
INSTANTIATE_TEST_SUITE_P(Streams, WorkerHostile, testing::Bool(), stream_name);

std::int64_t peak_of_quiet_job(bool encrypt) {
  WorkerJob job(2);
  job.encrypt = encrypt;
  job.configure(small_training(16, 1'000'000));
  job.pod(1).watch([](const auto& status) { return status.worker().step() >= 5; });
  return job.pod(1).peak_kib();
}

TEST_P(WorkerHostile, ThousandsOfStrangersDelayNoRingAndCostNoMemory) {
  const std::int64_t quiet_kib = peak_of_quiet_job(GetParam());
  WorkerJob job(2);
  job.encrypt = GetParam();
  const Json training = small_training(16, 1'000'000);
  ASSERT_TRUE(
      job.pod(1).configure(job.assignment(1, training)).ok());  // waits for rank 0 and serves its port
  Flood flood(job);
  flood.await(kStrangers);
  const Instant begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(job.pod(0).configure(job.assignment(0, training)).ok());
  const auto status = job.pod(1).watch([](const auto& now) { return now.worker().step() >= 5; });
  EXPECT_GE(status.worker().step(), 5) << status.message();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  if (kMemoryIsOurs) {
    EXPECT_LT(job.pod(1).peak_kib(), quiet_kib + kExtraKib);
  }
  EXPECT_GT(refused(job.pod(1).metrics()), kStrangers / 4);
}

}  // namespace
}  // namespace muster::worker::test
