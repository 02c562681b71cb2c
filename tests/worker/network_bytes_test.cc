// tests/worker/network_bytes_test.cc: the payload bytes that are counted are those that leave the network
// interface, in network namespaces of the test's own; skipped where these cannot be made (they need root)
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "tests/worker/mesh_support.h"
#include "tests/worker/no_optimizer.h"
#include "worker/parallel/data_parallel.h"
#include "worker/parallel/gradient_sum.h"

namespace muster::worker::test {
namespace {

constexpr int kRanks = 3;
constexpr int kPort = 9000;                      // of a namespace that nobody else is in
constexpr std::uint64_t kHeader = 14 + 20 + 32;  // of a packet: Ethernet, IPv4, TCP with its time stamps
constexpr std::size_t kElements = 1'000'003;

bool runs(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

// One a rank, each with a cable to one bridge.
class Namespaces {
 public:
  Namespaces() {
    made_ = ::geteuid() == 0 && runs("ip link add " + bridge_ + " type bridge") &&
            runs("ip link set " + bridge_ + " up");
    for (int rank = 0; rank < kRanks && made_; ++rank) {
      const std::string cable = fmt::format("mv{}-{}", rank, which_);
      made_ = runs("ip netns add " + name(rank)) &&
              runs(fmt::format("ip link add {} type veth peer name eth0 netns {}", cable, name(rank))) &&
              runs(fmt::format("ip link set {} master {} up", cable, bridge_)) &&
              runs(fmt::format("ip -n {} addr add {}/24 dev eth0", name(rank), address(rank))) &&
              runs(fmt::format("ip -n {} link set eth0 up", name(rank))) &&
              runs(fmt::format("ip -n {} link set lo up", name(rank)));
    }
  }
  ~Namespaces() {
    for (int rank = 0; rank < kRanks; ++rank) runs("ip netns del " + name(rank));
    runs("ip link del " + bridge_);
  }
  Namespaces(const Namespaces&) = delete;
  Namespaces& operator=(const Namespaces&) = delete;

  [[nodiscard]] bool made() const { return made_; }
  [[nodiscard]] std::string name(int rank) const { return fmt::format("mtest{}-{}", which_, rank); }
  [[nodiscard]] static std::string address(int rank) { return fmt::format("10.233.0.{}", rank + 1); }

 private:
  // The kernel takes cables away some time after their namespaces: each test has names of its own.
  static inline char next = 'a';
  const std::string which_ = fmt::format("{}{}", ::getpid(), next++);
  std::string bridge_ = fmt::format("mb{}", which_);
  bool made_ = false;
};

struct Measured {
  std::uint64_t wire = 0;     // bytes that left the interface, less the packets' headers
  std::uint64_t counted = 0;  // payload, by what the socket calls returned
  std::uint64_t formula = 0;
  std::uint64_t again = 0;  // bytes at most that TCP sent once more
};

// Of the namespace that this process is in.
std::uint64_t left_the_interface() {
  std::ifstream file("/proc/self/net/dev");
  for (std::string word; file >> word;) {
    if (word != "eth0:") continue;
    std::array<std::uint64_t, 10> figures{};  // 8 of what came in, then bytes and packets that went out
    for (std::uint64_t& figure : figures) file >> figure;
    return figures[8] - kHeader * figures[9];
  }
  return 0;
}

// Bytes at most, in this namespace: a busy machine answers late, and TCP sends what was on its way.
std::uint64_t sent_again() {
  constexpr std::uint64_t kSegment = 1500;
  std::ifstream file("/proc/self/net/snmp");
  std::uint64_t segments = 0;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("Tcp: ") || line.starts_with("Tcp: Rto")) continue;
    std::istringstream words(line.substr(5));
    for (int field = 0; field < 11; ++field) words.ignore(32, ' ');  // of the 12th, RetransSegs
    words >> segments;
  }
  return kSegment * segments;
}

std::nullopt_t lost(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return std::nullopt;
}

// In the namespace of the rank: one step's exchange, in one bucket and in three.
std::optional<std::array<Measured, 2>> measure(int rank, Topology topology) {
  auto port = MeshPort::listen(Namespaces::address(rank), kPort);
  if (!port) return lost(port.error());
  std::vector<std::string> peers;
  peers.reserve(kRanks);
  for (int peer = 0; peer < kRanks; ++peer)
    peers.push_back(fmt::format("{}:{}", Namespaces::address(peer), kPort));
  auto mesh =
      (*port)->connect({.identity = {.job_uid = "bytes", .membership = 1, .rank = rank, .size = kRanks},
                        .key = test_key(),
                        .encrypt = false,
                        .share_memory = false,
                        .peers = peers,
                        .log = {},
                        .refused = {}},
                       soon());
  if (!mesh) return lost(mesh.error());
  MeshCollective collective(*std::move(mesh), topology);
  NoOptimizer optimizer;
  const auto sum = dense_sum(collective, {});
  std::array<Measured, 2> measured;
  const std::array<std::vector<Bucket>, 2> plans{
      {{}, {{600'000, 400'003}, {200'000, 400'000}, {0, 200'000}}}};
  std::vector<float> parameters(kElements);
  std::vector<float> gradient(kElements + Synchronizer::kRiders, 1.0F);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    DataParallel parallel({collective, *sum, optimizer}, std::chrono::seconds(60), plans[i]);
    const BatchShare share{.mine = 1, .all = kRanks};
    if (const Status met = collective.barrier(soon()); !met) return lost(met.error());
    const std::uint64_t before = left_the_interface();
    const std::uint64_t again = sent_again();
    const std::uint64_t counted = collective.bytes_sent().payload;
    const auto ready = parallel.expect(gradient, share);
    if (ready) ready(200'000, 800'003);
    const auto sums = parallel.exchange(gradient, parameters, {.share = share});
    if (!sums) return lost(sums.error());
    if (const Status met = collective.barrier(soon()); !met) return lost(met.error());  // all has left
    measured[i] = {.wire = left_the_interface() - before,
                   .counted = collective.bytes_sent().payload - counted,
                   .formula = sums->cost.payload_bytes,
                   .again = sent_again() - again};
  }
  collective.leave({});
  return measured;
}

// A rank in a process of its own, which goes into its namespace; what it measured comes through a pipe.
struct Child {
  pid_t pid = -1;
  int pipe = -1;
};
Child begin(const Namespaces& namespaces, int rank, Topology topology) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  const pid_t pid = ::fork();
  if (pid != 0) {
    ::close(ends[1]);
    return {.pid = pid, .pipe = ends[0]};
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int place = ::open(("/var/run/netns/" + namespaces.name(rank)).c_str(), O_RDONLY | O_CLOEXEC);
  const bool inside = place >= 0 && ::setns(place, CLONE_NEWNET) == 0;
  const auto measured = inside ? measure(rank, topology) : std::nullopt;
  bool told = false;
  if (measured)
    told = ::write(ends[1], measured->data(), sizeof(*measured)) == static_cast<ssize_t>(sizeof(*measured));
  std::_Exit(told ? 0 : 1);
}

class NetworkBytes : public testing::TestWithParam<Topology> {};
INSTANTIATE_TEST_SUITE_P(Namespaces, NetworkBytes, testing::ValuesIn(kTopologies),
                         [](const auto& topology) { return std::string(name_of(topology.param)); });

TEST_P(NetworkBytes, ThoseThatAreCountedLeaveTheInterface) {
  const Namespaces namespaces;
  if (!namespaces.made())
    GTEST_SKIP() << "network namespaces cannot be made here: they need root, ip(8) and the veth and bridge "
                    "drivers";
  std::vector<Child> children;
  children.reserve(kRanks);
  for (int rank = 0; rank < kRanks; ++rank) children.push_back(begin(namespaces, rank, GetParam()));
  std::array<std::uint64_t, 2> all{};
  for (const Child& child : children) {
    std::array<Measured, 2> measured{};
    const bool told = ::read(child.pipe, measured.data(), sizeof(measured)) == sizeof(measured);
    ::close(child.pipe);
    int state = 0;
    ::waitpid(child.pid, &state, 0);
    ASSERT_TRUE(told && state == 0);
    for (std::size_t i = 0; i < measured.size(); ++i) {
      SCOPED_TRACE(i == 0 ? "one bucket" : "three buckets");
      const Measured& bytes = measured[i];
      EXPECT_EQ(bytes.counted, bytes.formula);
      // Beside the payload: headers of calls, riders, two barriers, the watch over peers.
      EXPECT_GE(bytes.wire, bytes.counted);
      EXPECT_LE(bytes.wire, bytes.counted + bytes.counted / 200 + 32'768 + bytes.again);
      all[i] += bytes.counted;
    }
  }
  const std::uint64_t k = kElements * sizeof(float);
  const std::uint64_t expected =
      GetParam() == Topology::kAllToAll ? k * kRanks * (kRanks - 1) : 2 * k * (kRanks - 1);
  if (GetParam() == Topology::kHalvingDoubling) return;  // three ranks are no power of two
  EXPECT_EQ(all[0], expected);
  EXPECT_EQ(all[1], expected) << "buckets change what each rank sends, not what all send";
}

}  // namespace
}  // namespace muster::worker::test
