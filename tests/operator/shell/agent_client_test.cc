// tests/operator/shell/agent_client_test.cc: the control channel against a real gRPC server on loopback
#include "operator/control/agent_client.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/operator/shell/fake_agent.h"

namespace muster::op {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class AgentClientTest : public ::testing::Test {
 protected:
  ~AgentClientTest() override { client_.reset(); }
  void connect(milliseconds timeout = seconds(5)) {
    AgentClient::Options options{.credentials = shared_test_pki().of_operator()};
    options.probe_interval = milliseconds(50);
    options.membership_key = [](const std::string& uid, std::int64_t membership) -> Result<std::string> {
      return uid + "/" + std::to_string(membership);
    };
    options.port = agent_->port();
    options.configure_timeout = timeout;
    options.retry_first = milliseconds(5);
    options.on_change = [this](const std::string& owner, bool progress) {
      const std::lock_guard lock(mutex_);
      (progress ? progressed_ : owners_).push_back(owner);
      changed_.notify_all();
    };
    options.on_refusal = [this](const std::string&, const std::string& pod, const Error&) {
      const std::lock_guard lock(mutex_);
      refused_.push_back(pod);
    };
    options.on_unusable = [this](const std::string&, const std::string& pod, const Error& why) {
      const std::lock_guard lock(mutex_);
      unusable_.push_back(pod + ": " + why.message);
      changed_.notify_all();
    };
    client_ = std::make_unique<AgentClient>(std::move(options));
  }
  bool wait_for_step(std::int64_t step) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] {
      const auto status = client_->status("uid-0");
      return status && status->worker().step() == step;
    });
  }
  static ConfigurePod call(const std::string& ip = "127.0.0.1") {
    auto common = std::make_shared<control::v1::Assignment>();
    common->set_namespace_("n");
    common->set_uid("u");
    common->set_membership(2);
    common->mutable_worker()->add_roster()->set_address("a:1");
    common->mutable_worker()->add_roster()->set_address("b:2");
    ConfigurePod pod{.pod = "p-0", .uid = "uid-0", .ip = ip, .common = std::move(common)};
    pod.own.mutable_worker()->set_rank(1);
    return pod;
  }
  // Follows the pod, configures it and waits for the refusal.
  std::optional<Error> refused(const ConfigurePod& pod) {
    client_->follow("o", {{.pod = pod.pod, .uid = pod.uid, .ip = pod.ip, .peer = kPeer}});
    client_->configure(pod);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(10), [&] { return client_->refusal(pod.uid).has_value(); });
    return client_->refusal(pod.uid);
  }
  // Waits until it is known, and told, why the pod at the agent's port is not believed.
  std::string rejection() {
    client_->follow("o", kPod);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(30), [&] { return client_->rejection("uid-0").has_value(); });
    EXPECT_EQ(owners_, std::vector<std::string>{"o"});
    EXPECT_FALSE(client_->status("uid-0"));
    return client_->rejection("uid-0").value_or("none");
  }
  const PeerName kPeer{.role = "worker", .index = 0, .uid = "u"};
  const std::vector<AgentAddress> kPod{{.pod = "p-0", .uid = "uid-0", .ip = "127.0.0.1", .peer = kPeer}};
  std::unique_ptr<FakeAgent> agent_ = std::make_unique<FakeAgent>();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> owners_, progressed_, refused_, unusable_;
  std::unique_ptr<AgentClient> client_;
};

TEST_F(AgentClientTest, ConfigureCarriesTheAssignment) {
  connect();
  client_->follow("o", kPod);
  client_->configure(call());
  ASSERT_TRUE(agent_->wait_configures(1));
  EXPECT_EQ(agent_->configured().namespace_(), "n");
  EXPECT_EQ(agent_->configured().membership(), 2);
  EXPECT_EQ(agent_->configured().worker().rank(), 1);
  EXPECT_EQ(agent_->configured().worker().roster(1).address(), "b:2");
}

TEST_F(AgentClientTest, ConfigureCarriesTheKeyOfItsMembership) {
  connect();
  client_->follow("o", kPod);
  client_->configure(call());
  ASSERT_TRUE(agent_->wait_configures(1));
  EXPECT_EQ(agent_->configured().membership_key(), "u/2");
}

TEST_F(AgentClientTest, APodWhoseCertificateIsOfAnotherAuthorityIsToldAndGetsNoCall) {
  const TestPki other;
  agent_ = std::make_unique<FakeAgent>(0, other.of(kPeer).for_server());
  connect();
  EXPECT_THAT(rejection(), ::testing::HasSubstr("is not of the operator's authority"));
  client_->configure(call());
  EXPECT_FALSE(agent_->wait_configures(1, milliseconds(100)));
}

TEST_F(AgentClientTest, APodThatProvesAnotherNameIsToldAndGetsNoCall) {
  agent_ = std::make_unique<FakeAgent>(0, shared_test_pki().of_pod("worker", 1, "u").for_server());
  connect();
  EXPECT_THAT(rejection(), ::testing::HasSubstr("its certificate names another peer"));
}

TEST_F(AgentClientTest, APodThatDoesNotAcceptTheOperatorsCertificateIsTold) {
  const TestPki other;
  const Credentials::Pem pod = shared_test_pki().pem(kPeer);
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = other.authority().certificate();
  options.pem_key_cert_pairs.push_back({pod.key, pod.certificate});
  agent_ = std::make_unique<FakeAgent>(0, grpc::SslServerCredentials(options));
  connect();
  EXPECT_THAT(rejection(), ::testing::HasSubstr("does not accept the operator's certificate"));
}

TEST_F(AgentClientTest, APodThatSpeaksPlaintextGetsNoCall) {
  agent_ = std::make_unique<FakeAgent>(0, grpc::InsecureServerCredentials());
  connect();
  EXPECT_THAT(rejection(), ::testing::HasSubstr("TLS handshake"));
}

TEST_F(AgentClientTest, APodThatIsNotThereYetIsNotCalledUntrustworthy) {
  connect();
  client_->follow("o", {{.pod = "p-0", .uid = "uid-0", .ip = "127.0.0.9", .peer = kPeer}});
  client_->follow("b", {{.pod = "p-1", .uid = "uid-1", .ip = "127.0.0.1", .peer = kPeer}});
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, milliseconds(500), [&] { return client_->rejection("uid-0").has_value(); });
  EXPECT_FALSE(client_->rejection("uid-0"));
  EXPECT_FALSE(client_->rejection("uid-1"));
}

TEST_F(AgentClientTest, ARefusalKeepsItsCodeAndIsTold) {
  connect();
  agent_->will_answer({grpc::StatusCode::FAILED_PRECONDITION, "older"});
  const auto refusal = refused(call());
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, Code::kFailedPrecondition);
  EXPECT_EQ(refusal->message, "older");
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(refused_, std::vector<std::string>{"p-0"});
}

TEST_F(AgentClientTest, WordsOfARefusalAreShortAndSteerNothing) {
  connect();
  agent_->will_answer({grpc::StatusCode::FAILED_PRECONDITION,
                       "\x1b[2Jboom\xff\nmuster: all is well" + std::string(2000, 'w')});
  const auto refusal = refused(call());
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->message.substr(0, 29), "?[2Jboom??muster: all is well");
  EXPECT_EQ(refusal->message.size(), 1024U);
}

TEST_F(AgentClientTest, AStatusThatCannotBeIsKeptWithoutItsFigures) {
  connect();
  agent_->set_step(-5);
  client_->follow("o", kPod);
  ASSERT_TRUE(wait_for_step(0));
  const auto status = client_->status("uid-0");
  ASSERT_EQ(status->warnings_size(), 1);
  EXPECT_NE(status->warnings(0).find("(step)"), std::string::npos) << status->warnings(0);
}

TEST_F(AgentClientTest, AStatusThatIsTooLongIsToldOnceAndAShorterOneIsTakenLater) {
  connect();
  agent_->will_say(std::string(100 << 10, 'x'));
  client_->follow("o", kPod);
  ASSERT_TRUE(agent_->wait_opened(3)) << "it is asked again";
  agent_->will_say("");
  EXPECT_TRUE(wait_for_step(0));
  const std::lock_guard lock(mutex_);
  EXPECT_THAT(unusable_,
              ::testing::ElementsAre(::testing::HasSubstr("p-0: Received message larger than max")));
}

TEST_F(AgentClientTest, APodThatTellsWithoutEndIsReadNowAndThen) {
  constexpr std::size_t kTold = 20;
  agent_->will_flood();
  connect();
  const auto began = std::chrono::steady_clock::now();
  client_->follow("o", kPod);
  std::unique_lock lock(mutex_);
  ASSERT_TRUE(changed_.wait_for(lock, seconds(60), [&] { return progressed_.size() >= kTold; }));
  // The first comes with another reason, the second is read at once.
  EXPECT_GE(std::chrono::steady_clock::now() - began, 15 * milliseconds(50));
}

TEST_F(AgentClientTest, APodThatIsNotThereFailsWithinTheDeadline) {
  connect(milliseconds(500));
  const auto refusal = refused(call("127.0.0.9"));
  ASSERT_TRUE(refusal);
  EXPECT_TRUE(refusal->code == Code::kUnavailable || refusal->code == Code::kDeadlineExceeded);
}

TEST_F(AgentClientTest, ConfigureDoesNotWaitForAnAnswerAndIsAskedOnceAtATime) {
  connect(seconds(60));
  agent_->hold_configures();
  client_->follow("o", kPod);
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) client_->configure(call());
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
  ASSERT_TRUE(agent_->wait_configures(1));
  agent_->answer_configures();
  do {
    client_->configure(call());  // goes out once the first is over
  } while (!agent_->wait_configures(2, milliseconds(1)));
  EXPECT_FALSE(client_->refusal("uid-0"));
}

TEST_F(AgentClientTest, AConfigureUnderWayEndsWithItsPodAndWithTheClient) {
  connect(seconds(600));
  agent_->hold_configures();
  client_->follow("o", kPod);
  client_->configure(call());
  ASSERT_TRUE(agent_->wait_configures(1));
  client_->follow("o", {});
  client_->follow("o", kPod);
  client_->configure(call());
  ASSERT_TRUE(agent_->wait_configures(2));
  const auto before = std::chrono::steady_clock::now();
  client_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
}

TEST_F(AgentClientTest, FollowsStatusAndTellsTheOwner) {
  connect();
  client_->follow("DistributedJob/n/x", kPod);
  ASSERT_TRUE(wait_for_step(0));
  agent_->set_step(7);
  ASSERT_TRUE(wait_for_step(7));
  EXPECT_EQ(client_->status("uid-0")->phase(), control::v1::PHASE_RUNNING);
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(owners_, std::vector<std::string>{"DistributedJob/n/x"}) << "the first status is news";
  EXPECT_EQ(progressed_, std::vector<std::string>{"DistributedJob/n/x"}) << "a step more is progress";
}

TEST_F(AgentClientTest, AWatchThatEndsIsOpenedAgainAndTheLastStatusIsKept) {
  connect();
  client_->follow("o", kPod);
  ASSERT_TRUE(wait_for_step(0));
  const int port = agent_->port();
  agent_.reset();
  EXPECT_TRUE(client_->status("uid-0"));
  agent_ = std::make_unique<FakeAgent>(port);
  agent_->set_step(9);
  EXPECT_TRUE(wait_for_step(9));
}

TEST_F(AgentClientTest, APodWhoseConnectionBreaksDoesNotAnswerAnyMore) {
  connect();
  EXPECT_FALSE(client_->contact("uid-0"));
  client_->follow("o", kPod);
  ASSERT_TRUE(client_->contact("uid-0"));
  ASSERT_TRUE(wait_for_step(0));
  EXPECT_TRUE(client_->contact("uid-0")->answers);
  const Instant told = client_->contact("uid-0")->since;
  agent_.reset();
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, seconds(10), [&] { return !client_->contact("uid-0")->answers; }));
  EXPECT_GT(client_->contact("uid-0")->since, told);
  EXPECT_TRUE(client_->status("uid-0")) << "what it told last is kept";
}

TEST_F(AgentClientTest, EveryCallNamesThePodThatIsMeantAndTheMembershipThatIsKnown) {
  connect();
  std::vector<AgentAddress> pods = kPod;
  pods[0].membership = 3;
  client_->follow("o", pods);
  ASSERT_TRUE(wait_for_step(0));
  EXPECT_EQ(agent_->watched().pod_uid(), "uid-0");
  EXPECT_EQ(agent_->watched().membership(), 3);
  client_->configure(call());
  ASSERT_TRUE(agent_->wait_configures(1));
  EXPECT_EQ(agent_->configured().pod_uid(), "uid-0");
  pods[0].membership = 4;
  client_->follow("o", pods);  // for streams from now on
  const int port = agent_->port();
  agent_.reset();
  agent_ = std::make_unique<FakeAgent>(port);
  agent_->set_step(9);
  ASSERT_TRUE(wait_for_step(9));
  EXPECT_EQ(agent_->watched().membership(), 4);
}

TEST_F(AgentClientTest, PodsThatAreNoLongerNamedAreForgotten) {
  connect();
  client_->follow("o", kPod);
  ASSERT_TRUE(wait_for_step(0));
  client_->follow("o", {});
  EXPECT_FALSE(client_->status("uid-0"));
  EXPECT_TRUE(agent_->wait_watches(0));
}

// More pods than may be connected to at a time, and the first of them never answer.
TEST_F(AgentClientTest, PodsThatDoNotAnswerHoldUpTheOthersForSecondsOnly) {
  connect();
  std::vector<AgentAddress> pods;
  pods.reserve(151);
  for (int i = 0; i < 150; ++i)
    pods.push_back({.pod = "q", .uid = "q" + std::to_string(i), .ip = "127.0.0.9", .peer = kPeer});
  pods.push_back(kPod[0]);
  client_->follow("o", pods);
  EXPECT_TRUE(wait_for_step(0));
}

TEST_F(AgentClientTest, EndsWhilePodsAreFollowedThatNeverAnswer) {
  connect();
  std::vector<AgentAddress> pods = kPod;
  for (int i = 0; i < 20; ++i)
    pods.push_back({.pod = "q", .uid = "q" + std::to_string(i), .ip = "127.0.0.9", .peer = kPeer});
  client_->follow("o", pods);
  const auto before = std::chrono::steady_clock::now();
  client_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
}

// The passes of an object and the end of the process may meet in any order.
TEST_F(AgentClientTest, EndsWhateverTheOrderInWhichPodsComeAndGo) {
  for (int round = 0; round < 200; ++round) {
    connect();
    std::vector<std::jthread> threads;
    threads.reserve(3);
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([this, t] {
        const std::string ip = t == 0 ? "127.0.0.1" : "127.0.0.9";  // nobody is at the second
        for (int i = 0; i < 5; ++i) {
          client_->follow("o", {{.pod = "p", .uid = "uid-0", .ip = ip, .peer = kPeer}});
          client_->configure(call(ip));
          client_->follow("o", {});
        }
      });
    }
    threads.clear();
    const auto before = std::chrono::steady_clock::now();
    client_.reset();
    ASSERT_LT(std::chrono::steady_clock::now() - before, seconds(5)) << "round " << round;
  }
}

}  // namespace
}  // namespace muster::op
