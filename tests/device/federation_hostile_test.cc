// tests/device/federation_hostile_test.cc: the federation port of the real muster-aggregator against those
// who do not belong there
//
// Goal: each is turned away for the reason that /metrics counts, and the round of the honest clients ends
// with the model that it would have had without them, with the aggregator's memory bounded.
#include <gmock/gmock.h>
#include <poll.h>

#include <deque>
#include <map>
#include <random>

#include "common/platform/file_descriptor.h"
#include "learning/data_identity.h"
#include "learning/safetensors.h"
#include "tests/device/federation_calls.h"
#include "tests/device/federation_process.h"

namespace muster {
namespace {

using grpc::StatusCode;
using std::chrono::steady_clock;
using testing::HasSubstr;

const std::string kClientHelloHead("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);

// A socket that is no gRPC channel.
class RawConnection {
 public:
  explicit RawConnection(const std::string& to, const std::string& from = "127.0.0.1", int port = kDataPort)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in self = address(from, 0);
    const sockaddr_in peer = address(to, port);
    open_ = bind(fd_.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self) == 0 &&
            connect(fd_.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) == 0;
  }
  [[nodiscard]] bool is_open() const { return open_; }
  void say(std::string_view bytes) { open_ = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0; }
  // Whether the other side has hung up by then.
  [[nodiscard]] bool ends_within(std::chrono::milliseconds limit) {
    const auto deadline = steady_clock::now() + limit;
    while (open_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
      pollfd news{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (left.count() <= 0 || poll(&news, 1, static_cast<int>(left.count())) != 1) return false;
      char buffer[512];
      open_ = recv(fd_.get(), buffer, sizeof buffer, 0) > 0;
    }
    return true;
  }

 private:
  static sockaddr_in address(const std::string& ip, int port) {
    sockaddr_in made{};
    made.sin_family = AF_INET;
    made.sin_port = htons(static_cast<std::uint16_t>(port));
    inet_pton(AF_INET, ip.c_str(), &made.sin_addr);
    return made;
  }

  FileDescriptor fd_;
  bool open_ = false;
};

// Four clients, two of each pod, all of whom are selected: pod 0 is honest, pod 1 is not.
class FederationHostile : public FederationProcess {
 protected:
  FederationHostile() {
    federation_.rounds = 1;
    federation_.training.dataset.synthetic.devices = 4;
    federation_.clients = 4;
    federation_.clients_per_pod = 2;
    federation_.cohort = {.size = 2, .over_selection = 2.0, .minimum = 1};
    federation_.stragglers.deadline_seconds = 60;
  }
  void serve() {
    server_ = aggregator();
    ASSERT_TRUE(server_->until(running));
  }
  [[nodiscard]] std::string address() const { return server_->ip() + ":8471"; }
  [[nodiscard]] std::unique_ptr<FederationStub> stub_of_pod(std::int64_t pod) const {
    return federation_stub(address(), kUid, pki_.of_pod("client", pod, kUid));
  }
  std::unique_ptr<FederationStub> stub_with(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    Credentials::expect({.role = "aggregator", .index = 0, .uid = kUid}, arguments);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return federation::v1::Federation::NewStub(grpc::CreateCustomChannel(address(), credentials, arguments));
  }
  std::unique_ptr<FederationStub> stub_with(const Credentials::Pem& pem) {
    return stub_with(grpc::SslCredentials({.pem_root_certs = pki_.authority().certificate(),
                                           .pem_private_key = pem.key,
                                           .pem_cert_chain = pem.certificate}));
  }
  // What each of the four calls is answered.
  std::vector<grpc::Status> all_calls(FederationStub& stub, const Task& task) {
    CheckInReply check;
    UploadReply reply;
    std::uint64_t offset = 0;
    return {check_in(stub, 0, check), download(stub, task.task_id()),
            upload(stub, header_of(task, ones_), ones_, reply), upload_offset(stub, task.task_id(), offset)};
  }

  std::vector<Task> begin_round() {
    std::vector<Task> tasks;
    const auto replies = check_in_all(4, [this](std::int32_t client) { return stub_of_pod(client / 2); });
    for (const CheckInReply& reply : replies) {
      EXPECT_TRUE(reply.has_task());
      tasks.push_back(reply.task());
    }
    if (initial_.empty()) {
      EXPECT_TRUE(download(*stub_of_pod(0), tasks[0].task_id(), &initial_).ok());
    }
    return tasks;
  }
  void honest_clients_report(const std::vector<Task>& tasks) {
    for (std::size_t i = 0; i < 2; ++i) {
      UploadReply reply;
      const grpc::Status status = upload(*stub_of_pod(0), header_of(tasks[i], ones_), ones_, reply);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
    }
  }
  // Each round has moved every weight by one, and nobody else has moved any.
  void model_is_that_of_the_honest_clients() {
    for (const CheckInReply& told :
         check_in_all(4, [this](std::int32_t client) { return stub_of_pod(client / 2); }))
      EXPECT_TRUE(told.has_done());
    ASSERT_EQ(server_->wait_exit(std::chrono::seconds(20)), 0);
    const auto file = learning::read_safetensors(folder_ / "models/model.safetensors");
    ASSERT_TRUE(file) << file.error().message;
    std::vector<float> values;
    for (const auto& tensor : file->tensors)
      values.insert(values.end(), tensor.values.begin(), tensor.values.end());
    std::vector<float> expected = initial_;
    for (std::int64_t round = 0; round < federation_.rounds; ++round)
      for (float& value : expected) value += 1;
    EXPECT_EQ(values, expected);
  }

  [[nodiscard]] double refused(const std::string& reason) const {
    return series_of(metrics_page(server_->ip()),
                     "muster_federation_calls_refused_total{reason=\"" + reason + "\"}");
  }
  [[nodiscard]] bool refused_at_least(const std::string& reason, double count) const {
    return eventually([&] { return refused(reason) >= count; });
  }

  const TestPki& pki_ = shared_test_pki();
  const TestPki other_;
  const std::vector<float> ones_ = std::vector<float>(610, 1.0F);
  std::vector<float> initial_;
  std::unique_ptr<Pod> server_;
};

TEST_F(FederationHostile, WithoutACertificateOfTheAuthorityThatIsInForceThereIsNoConnection) {
  serve();
  const auto tasks = begin_round();
  const PeerName client{.role = "client", .index = 0, .uid = kUid};
  double before = 0;
  for (const auto& [what, pem] : {std::pair{"of another authority", other_.pem(client)},
                                  {"expired", pki_.expired(client)},
                                  {"none", Credentials::Pem{}}}) {
    SCOPED_TRACE(what);
    const auto stub = stub_with(pem);
    for (const grpc::Status& status : all_calls(*stub, tasks[0]))
      EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_TRUE(refused_at_least("handshake", before + 1));
    before = refused("handshake");
  }
  EXPECT_EQ(refused("name"), 0);
  honest_clients_report(tasks);
  model_is_that_of_the_honest_clients();
}

TEST_F(FederationHostile, ARightCertificateOfAnotherObjectOrRoleIsRefusedOnEveryCallByName) {
  serve();
  const auto tasks = begin_round();
  double count = 0;
  for (const PeerName& name : {PeerName{.role = "client", .index = 0, .uid = "another"},
                               PeerName{.role = "worker", .index = 0, .uid = kUid},
                               PeerName{.role = "aggregator", .index = 0, .uid = kUid}, operator_name()}) {
    const auto stub = federation_stub(address(), kUid, pki_.of(name));
    for (const grpc::Status& status : all_calls(*stub, tasks[0])) {
      EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED) << dns_name(name);
      EXPECT_THAT(status.error_message(), HasSubstr("the caller is " + dns_name(name)));
    }
    EXPECT_EQ(refused("name"), count += 4);
  }
  for (const char* dns : {"www.example.com", "*.muster.dev"}) {
    for (const grpc::Status& status : all_calls(*stub_with(pki_.pem(std::string(dns))), tasks[0])) {
      EXPECT_EQ(status.error_code(), StatusCode::UNAUTHENTICATED) << dns;
      EXPECT_THAT(status.error_message(), HasSubstr("names no peer of Muster's"));
    }
    EXPECT_EQ(refused("name"), count += 4);
  }
  honest_clients_report(tasks);
  model_is_that_of_the_honest_clients();
}

TEST_F(FederationHostile, PlaintextAndGarbageAreHungUpOnUnanswered) {
  serve();
  const auto tasks = begin_round();
  const auto plain = stub_with(grpc::InsecureChannelCredentials());
  for (const grpc::Status& status : all_calls(*plain, tasks[0]))
    EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_TRUE(refused_at_least("plaintext", 1));
  double before = refused("plaintext");
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  for (const std::string& words :
       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings,
        std::string("POST /muster.federation.v1.Federation/CheckIn HTTP/1.1\r\n\r\n"), std::string(4096, 'G'),
        std::string(1, '\0')}) {
    RawConnection raw(server_->ip());
    raw.say(words);
    EXPECT_TRUE(raw.ends_within(4s)) << words.substr(0, 20);
    EXPECT_TRUE(refused_at_least("plaintext", ++before)) << words.substr(0, 20);
  }
  std::mt19937 random(1);
  before = refused("handshake");
  for (int i = 0; i < 20; ++i) {  // what begins as TLS does
    std::string garbage = kClientHelloHead.substr(0, i % 2 == 0 ? 5 : kClientHelloHead.size());
    while (garbage.size() < 600) garbage += static_cast<char>(random());
    RawConnection raw(server_->ip());
    raw.say(garbage);
    EXPECT_TRUE(raw.ends_within(4s)) << i;
  }
  EXPECT_TRUE(refused_at_least("handshake", before + 20));
  honest_clients_report(tasks);
  model_is_that_of_the_honest_clients();
}

TEST_F(FederationHostile, WhoeverIsSlowHasFiveSeconds) {
  serve();
  const auto tasks = begin_round();
  const auto begin = steady_clock::now();
  RawConnection silent(server_->ip());
  RawConnection slow(server_->ip());
  // Its keys are right, but it makes no call.
  const auto idle = TestPki::channel(address(), {.role = "aggregator", .index = 0, .uid = kUid},
                                     pki_.of_pod("client", 1, kUid));
  EXPECT_TRUE(idle->WaitForConnected(std::chrono::system_clock::now() + 20s));
  const auto connected = steady_clock::now();
  // A byte every tenth of a second: its next one is always on its way.
  std::size_t said = 0;
  do {
    slow.say(said < kClientHelloHead.size() ? kClientHelloHead.substr(said, 1) : "x");
    ++said;
  } while (slow.is_open() && said < 300 && !slow.ends_within(100ms));
  const auto seconds_since = [](auto from) {
    return std::chrono::duration<double>(steady_clock::now() - from).count();
  };
  EXPECT_GT(seconds_since(begin), 4.5);
  EXPECT_LT(seconds_since(begin), 10);
  EXPECT_GT(said, 10U);
  EXPECT_TRUE(silent.ends_within(5s));
  EXPECT_TRUE(idle->WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() + 5s));
  EXPECT_GT(seconds_since(connected), 4.5);
  EXPECT_TRUE(refused_at_least("silent", 1));
  // The slow one, by our clock or by gRPC's, which is the same; and the idle one.
  EXPECT_TRUE(eventually([&] { return refused("late") + refused("handshake") == 2; }))
      << refused("late") << " late, " << refused("handshake") << " in the handshake";
  EXPECT_GE(refused("late"), 1);
  EXPECT_EQ(refused("silent"), 1);
  honest_clients_report(tasks);
  model_is_that_of_the_honest_clients();
}

TEST_F(FederationHostile, WhatIsAnothersIsNeitherReadNorAnsweredByAThiefOfItsTask) {
  federation_.rounds = 2;
  serve();
  const auto first = begin_round();
  const auto thief = stub_of_pod(1);
  const std::vector<float> poison(ones_.size(), 1e6F);
  UploadReply reply;
  std::uint64_t held = 0;
  // With the task of another pod's client.
  UploadHeader stolen = header_of(first[0], poison);
  std::vector<grpc::Status> answers{download(*thief, stolen.task_id()),
                                    upload_offset(*thief, stolen.task_id(), held),
                                    upload(*thief, stolen, poison, reply)};
  stolen.set_failure("it cannot train");
  answers.push_back(upload(*thief, stolen, {}, reply));
  for (const grpc::Status& answer : answers) {
    EXPECT_EQ(answer.error_code(), StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(answer.error_message(), HasSubstr("given to a client that client pod 1 does not play"));
  }
  EXPECT_EQ(refused("task_of_another"), 4);
  EXPECT_THAT(server_->log(), HasSubstr("client pod 1 asked for a task of client 0"));
  // In the name of another pod's client.
  CheckInReply check;
  const grpc::Status denied = check_in(*thief, 0, check);
  EXPECT_EQ(denied.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(denied.error_message(), HasSubstr("client 0 is played by client pod 0, not by pod 1"));
  EXPECT_EQ(refused("client_of_another"), 1);
  // With a task that there is not, and with a weight that it does not have.
  UploadHeader forged = header_of(first[2], poison);
  forged.set_task_id(std::string(32, 'a'));
  EXPECT_EQ(upload(*thief, forged, poison, reply).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(refused("unknown_task"), 1);
  UploadHeader heavy = header_of(first[2], poison);
  heavy.set_examples(std::uint64_t{1} << 40);
  ASSERT_TRUE(upload(*thief, heavy, poison, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::REJECTED);
  EXPECT_THAT(reply.reason(), HasSubstr("client 2 claims 1099511627776 examples"));
  EXPECT_EQ(refused("too_many_examples"), 1);
  // What was counted is not counted again, in its round or a later one.
  ASSERT_TRUE(upload(*stub_of_pod(0), header_of(first[0], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
  ASSERT_TRUE(upload(*stub_of_pod(0), header_of(first[0], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.reason(), "it was counted before");
  ASSERT_TRUE(upload(*stub_of_pod(0), header_of(first[1], ones_), ones_, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
  const auto second = begin_round();
  ASSERT_TRUE(upload(*thief, header_of(first[3], poison), poison, reply).ok());
  EXPECT_EQ(reply.verdict(), UploadReply::LATE);
  EXPECT_EQ(series_of(metrics_page(server_->ip()), "muster_aggregator_updates_total{verdict=\"late\"}"), 1);
  honest_clients_report(second);
  model_is_that_of_the_honest_clients();
}

TEST_F(FederationHostile, APodHasNoMoreCallsForHavingMoreConnections) {
  serve();
  const auto tasks = begin_round();
  constexpr std::size_t kConnections = 8, kMost = 8;  // four calls a client
  struct Begun {
    grpc::ClientContext context;
    UploadReply reply;
    std::unique_ptr<grpc::ClientWriter<UploadRequest>> stream;
  };
  std::vector<std::unique_ptr<FederationStub>> connections;
  std::deque<Begun> begun;
  for (std::size_t i = 0; i < kConnections; ++i) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    connections.push_back(federation_stub(address(), kUid, pki_.of_pod("client", 1, kUid), own));
    for (std::size_t call = 0; call < kMost; ++call) {
      Begun& one = begun.emplace_back();
      limit(one.context);
      one.stream = connections.back()->Upload(&one.context, &one.reply);
    }
  }
  ASSERT_TRUE(refused_at_least("too_many_calls", (kConnections - 1) * kMost));
  honest_clients_report(tasks);
  std::size_t refusals = 0;
  for (Begun& one : begun) {
    one.context.TryCancel();
    if (one.stream->Finish().error_code() == StatusCode::UNAVAILABLE) ++refusals;
  }
  EXPECT_EQ(refused("too_many_calls"), (kConnections - 1) * kMost);
  EXPECT_LE(refusals, (kConnections - 1) * kMost);
  EXPECT_TRUE(eventually([&] {  // what has ended makes room
    CheckInReply reply;
    return check_in(*connections.back(), 2, reply, 0).ok();
  }));
  model_is_that_of_the_honest_clients();
}

TEST_F(FederationHostile, APodWithOtherDataGetsNoTask) {
  serve();
  const auto tasks = begin_round();
  const std::string version = std::string(learning::kReadingVersion) + ":";
  for (const std::string& told :
       {version + std::string(64, 'f'), version + "\x1b[2J", version + std::string(900, 'a')}) {
    grpc::ClientContext context;
    limit(context);
    federation::v1::CheckInRequest request;
    request.set_client(2);
    request.set_data_sha256(told);
    CheckInReply reply;
    const grpc::Status status = stub_of_pod(1)->CheckIn(&context, request, &reply);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("client pod 1 has loaded a dataset with SHA-256 "));
    EXPECT_THAT(status.error_message(), Not(HasSubstr("\x1b")));
    EXPECT_LT(status.error_message().size(), 400U);
  }
  EXPECT_EQ(refused("other_data"), 3);
  honest_clients_report(tasks);
  model_is_that_of_the_honest_clients();
}

// Of /metrics and the probes, where nobody has to prove who he is.
TEST_F(FederationHostile, AFloodAtThePortOfMetricsIsCountedAndHoldsUpNoProbe) {
  serve();
  const auto refused_there = [this](const std::string& reason) {
    return series_of(metrics_page(server_->ip()),
                     "muster_metrics_connections_refused_total{reason=\"" + reason + "\"}");
  };
  for (const char* reason : {"silent", "late", "crowded", "malformed", "oversized"})
    EXPECT_EQ(refused_there(reason), 0) << reason;
  std::deque<RawConnection> strangers;
  for (int i = 0; i < 300; ++i) {
    RawConnection& one = strangers.emplace_back(server_->ip(), base_ + "250", kMetricsPort);
    if (i % 3 == 1) one.say("GET /healthz HTTP/1.1\r\n");
    if (i % 3 == 2) one.say("BREW\r\n\r\n");
  }
  RawConnection wordy(server_->ip(), base_ + "249", kMetricsPort);
  wordy.say(std::string(20'000, 'x'));
  EXPECT_TRUE(wordy.ends_within(5s));
  EXPECT_THAT(metrics_page(server_->ip()), HasSubstr("muster_aggregator_round"));
  EXPECT_GE(refused_there("crowded"), 100);
  EXPECT_EQ(refused_there("malformed"), 100);
  EXPECT_EQ(refused_there("oversized"), 1);
  EXPECT_TRUE(eventually([&] { return refused_there("late") + refused_there("silent") >= 60; }));
  const auto tasks = begin_round();
  honest_clients_report(tasks);
  model_is_that_of_the_honest_clients();
}

// Connects in turns from one address, and holds a part of its connections open: silent ones, plaintext,
// garbage and the beginnings of handshakes.
class Flood {
 public:
  static constexpr std::size_t kOpenAtOnce = 400;  // more than there is room for
  Flood(std::string target, std::string from)
      : thread_([this, target = std::move(target), from = std::move(from)](const std::stop_token& stop) {
          std::deque<RawConnection> open;
          for (int i = 0; !stop.stop_requested(); ++i) {
            RawConnection& one = open.emplace_back(target, from);
            if (i % 4 == 1) one.say("GET / HTTP/1.1\r\n\r\n");
            if (i % 4 == 2) one.say(kClientHelloHead);
            if (i % 4 == 3) one.say(kClientHelloHead.substr(0, 5) + std::string(600, 'x'));
            if (open.size() > kOpenAtOnce) open.pop_front();
            made_ += one.is_open() ? 1 : 0;
            made_.notify_all();
          }
        }) {}
  void await(int connections) const {
    for (int seen = made_; seen < connections; seen = made_) made_.wait(seen);
  }

 private:
  std::atomic<int> made_ = 0;
  std::jthread thread_;
};

class FederationFlood : public FederationHostile {
 protected:
  FederationFlood() {
    federation_.rounds = 100'000;
    federation_.cohort = {.size = 4, .over_selection = 1.0, .minimum = 4};
  }
  static constexpr int kRounds = 5;  // few: rounding grows from round to round
  // The losses of the first rounds that real clients train.
  std::map<std::int64_t, double> train() {
    const auto first = device(0);
    const auto second = device(1);
    const auto status = server_->until(
        [](const auto& now) { return now.aggregator().history_size() >= kRounds; }, std::chrono::seconds(30));
    EXPECT_TRUE(status);
    std::map<std::int64_t, double> losses;
    if (status)
      for (const auto& point : status->aggregator().history())
        if (point.at() <= kRounds) losses[point.at()] = point.loss();
    return losses;
  }
};

TEST_F(FederationFlood, ThousandsOfConnectionsInTurnsNeitherDelayARoundNorCostMemory) {
  constexpr int kStrangers = 2'000;
  constexpr std::int64_t kExtraKib = 32 * 1024;  // 256 strangers, at their dearest
  serve();
  const auto quiet = train();
  const std::int64_t quiet_kib = status_kib(server_->pid(), "VmHWM");
  server_.reset();
  std::filesystem::remove_all(folder_ / "models");
  serve();
  const Flood flood(server_->ip(), base_ + "250");
  flood.await(kStrangers / 2);
  const auto begin = steady_clock::now();
  const auto flooded = train();
  EXPECT_LT(steady_clock::now() - begin, 20s);
  ASSERT_EQ(flooded.size(), quiet.size());
  for (const auto& [round, loss] : quiet)  // the sum of the updates depends on their order, by a rounding
    EXPECT_NEAR(flooded.at(round), loss, 1e-4 * loss) << "round " << round;
  flood.await(kStrangers);
  EXPECT_TRUE(status_kib(server_->pid(), "VmHWM") < quiet_kib + kExtraKib || !kMemoryIsOurs)
      << status_kib(server_->pid(), "VmHWM") << " KiB, " << quiet_kib << " without them";
  for (const char* reason : {"plaintext", "handshake", "crowded"})
    EXPECT_TRUE(refused_at_least(reason, 100)) << reason;
}

}  // namespace
}  // namespace muster
