// tests/device/federation_server_hostile_test.cc: the client library of muster-device against servers that
// are not its aggregator, and against an aggregator that sends what it should not
//
// Goal: nobody but the aggregator of the object is told anything, no model is trained on that is not the
// announced one, and a client that met nonsense comes to its end.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <random>

#include "common/platform/file_descriptor.h"
#include "device/shell/fleet.h"
#include "tests/device/federation_calls.h"

namespace muster {
namespace {

using testing::HasSubstr;

constexpr std::size_t kParameters = 1'000;
constexpr const char* kUid = "uid";

// What an aggregator might say, and what it is told. One task a client, then the end.
class Impostor final : public federation::v1::Federation::Service {
 public:
  Impostor() : sha256_(learning::sha256_hex(std::as_bytes(std::span(model_)))) {}

  // Of the client's first check-ins, in turn; afterwards it is told that all is done.
  void answer_with(std::int32_t client, std::vector<CheckInReply> replies) {
    replies_[client] = std::move(replies);
  }
  [[nodiscard]] CheckInReply task(const std::string& id) const {
    CheckInReply reply;
    Task& task = *reply.mutable_task();
    task.set_round(1);
    task.set_task_id(id);
    task.set_model_bytes(model_.size() * sizeof(float));
    task.set_model_sha256(sha256_);
    task.set_deadline_ms(60'000);
    return reply;
  }
  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] std::string failure_of(const std::string& task) {
    const std::scoped_lock lock(mutex_);
    return failures_[task];
  }

 private:
  grpc::Status CheckIn(grpc::ServerContext* /*context*/, const federation::v1::CheckInRequest* request,
                       CheckInReply* reply) override {
    ++calls_;
    const std::scoped_lock lock(mutex_);
    const std::size_t turn = turns_[request->client()]++;
    const auto& replies = replies_[request->client()];
    if (turn < replies.size()) {
      *reply = replies[turn];
    } else if (turns_.size() == replies_.size() && all_served()) {
      reply->mutable_done()->set_reason("over");
    } else {
      reply->mutable_come_back()->set_after_ms(20);
    }
    return grpc::Status::OK;
  }
  [[nodiscard]] bool all_served() const {
    for (const auto& [client, replies] : replies_)
      if (turns_.at(client) <= replies.size()) return false;
    return true;
  }
  // By the task's name.
  grpc::Status Download(grpc::ServerContext* /*context*/, const federation::v1::DownloadRequest* request,
                        grpc::ServerWriter<Chunk>* writer) override {
    ++calls_;
    Chunk chunk;
    chunk.set_offset(request->offset());
    std::string bytes(reinterpret_cast<const char*>(model_.data()), model_.size() * sizeof(float));
    const std::string& kind = request->task_id();
    if (kind == "longer") bytes += "x";
    if (kind == "endless") bytes = std::string(std::size_t{3} << 20, 'x');
    if (kind == "shorter") bytes.pop_back();
    if (kind == "another") bytes[5] = static_cast<char>(bytes[5] + 1);
    if (kind == "elsewhere") chunk.set_offset(std::numeric_limits<std::uint64_t>::max() - 2);
    if (kind == "restless") {  // names a new model again and again
      for (int i = 0; i < 1'000; ++i) {
        chunk.mutable_head()->set_sha256(std::to_string(i));
        chunk.set_offset(0);
        chunk.set_data(bytes);
        if (!writer->Write(chunk)) break;
      }
      return grpc::Status::OK;
    }
    chunk.set_data(bytes.substr(std::min<std::size_t>(request->offset(), bytes.size())));
    writer->Write(chunk);
    if (kind == "endless")
      while (writer->Write(chunk)) continue;
    return kind == "odd" ? grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "\x1b[2J") : grpc::Status::OK;
  }
  grpc::Status Upload(grpc::ServerContext* /*context*/, grpc::ServerReader<UploadRequest>* reader,
                      UploadReply* reply) override {
    ++calls_;
    UploadRequest request;
    while (reader->Read(&request)) {
      const std::scoped_lock lock(mutex_);
      if (request.has_header()) failures_[request.header().task_id()] = request.header().failure();
    }
    reply->set_verdict(static_cast<UploadReply::Verdict>(77));
    return grpc::Status::OK;
  }
  grpc::Status UploadOffset(grpc::ServerContext* /*context*/,
                            const federation::v1::UploadOffsetRequest* /*request*/,
                            federation::v1::UploadOffsetReply* reply) override {
    ++calls_;
    reply->set_offset(std::numeric_limits<std::uint64_t>::max());  // behind the update's end
    return grpc::Status::OK;
  }

  const std::vector<float> model_ = std::vector<float>(kParameters, 0.5F);
  const std::string sha256_;
  std::atomic<int> calls_ = 0;
  std::mutex mutex_;
  std::map<std::int32_t, std::vector<CheckInReply>> replies_;
  std::map<std::int32_t, std::size_t> turns_;
  std::map<std::string, std::string> failures_;  // by task
};

class HostileServer : public testing::Test {
 protected:
  void serve(const std::shared_ptr<grpc::ServerCredentials>& credentials) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port);
    builder.RegisterService(&impostor_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = fmt::format("127.0.0.1:{}", port);
  }
  static std::shared_ptr<grpc::ServerCredentials> of(const Credentials::Pem& pem,
                                                     const std::string& clients) {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = clients;
    options.pem_key_cert_pairs = {{pem.key, pem.certificate}};
    return grpc::SslServerCredentials(options);
  }
  void serve_as(const TestPki& pki, const PeerName& name) {
    serve(of(pki.pem(name), pki_.authority().certificate()));
  }
  // What becomes of a fleet of `clients` clients.
  Result<device::FederationEnd> play(std::int32_t clients, std::chrono::milliseconds aggregator_timeout) {
    const auto fleet = device::Fleet::start(
        {.aggregator = address_,
         .credentials = pki_.of_pod("client", 0, kUid),
         .clients = clients,
         .parameter_count = kParameters,
         .parallel_clients = clients,
         .aggregator_timeout = aggregator_timeout,
         .hold = 1s,
         .transfer_timeout = 20s},
        [this](int, std::int32_t, const device::TaskTicket& task, std::span<const float> global,
               const std::function<bool()>&) -> Result<learning::LocalUpdate> {
          ++trained_;
          EXPECT_EQ(global.size(), kParameters) << task.task_id;
          learning::LocalUpdate update;
          update.delta.assign(kParameters, 1.0F);
          update.examples = 1;
          return update;
        });
    auto end = fleet->wait(60s);
    progress_ = fleet->progress();
    return end;
  }
  void expect_nobody_was_told_anything() {
    const auto end = play(1, 700ms);
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, Code::kUnavailable);
    EXPECT_THAT(end.error().message, HasSubstr("has not answered"));
    EXPECT_EQ(impostor_.calls(), 0);
    EXPECT_EQ(trained_, 0);
  }

  const TestPki& pki_ = shared_test_pki();
  const TestPki other_;
  Impostor impostor_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::atomic<int> trained_ = 0;
  control::v1::ClientProgress progress_;
};

TEST_F(HostileServer, WhoeverIsNotTheAggregatorOfTheObjectIsToldNothing) {
  const PeerName aggregator{.role = "aggregator", .index = 0, .uid = kUid};
  const std::vector<std::pair<std::string, Credentials::Pem>> impostors{
      {"of another authority", other_.pem(aggregator)},
      {"another client of the round", pki_.pem({.role = "client", .index = 1, .uid = kUid})},
      {"the client itself", pki_.pem({.role = "client", .index = 0, .uid = kUid})},
      {"another object's aggregator", pki_.pem({.role = "aggregator", .index = 0, .uid = "other"})},
      {"another aggregator", pki_.pem({.role = "aggregator", .index = 1, .uid = kUid})},
      {"the operator", pki_.pem(operator_name())},
      {"expired", pki_.expired(aggregator)}};
  for (const auto& [who, pem] : impostors) {
    SCOPED_TRACE(who);
    serve(of(pem, pki_.authority().certificate()));
    expect_nobody_was_told_anything();
  }
  SCOPED_TRACE("plaintext");
  serve(grpc::InsecureServerCredentials());
  expect_nobody_was_told_anything();
}

TEST_F(HostileServer, GarbageIsNoServer) {
  const FileDescriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&at), length), 0);
  ASSERT_EQ(listen(listener.get(), 16), 0);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &length);
  address_ = fmt::format("127.0.0.1:{}", ntohs(at.sin_port));
  std::atomic<int> connections = 0;
  {
    const std::jthread babbler([&](const std::stop_token& stop) {
      std::mt19937 random(1);
      while (!stop.stop_requested()) {
        pollfd news{.fd = listener.get(), .events = POLLIN, .revents = 0};
        if (poll(&news, 1, 20) != 1) continue;
        const FileDescriptor one(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        std::string garbage = connections++ % 2 == 0 ? std::string("\x16\x03\x03\x40\x00\x02", 6) : "";
        while (garbage.size() < 4'096) garbage += static_cast<char>(random());
        static_cast<void>(send(one.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL));
      }
    });
    expect_nobody_was_told_anything();
  }
  EXPECT_GE(connections, 1);
}

TEST_F(HostileServer, AModelOfAnotherSizeIsNeitherFetchedNorTrained) {
  std::int32_t clients = 0;
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, std::uint64_t{kParameters * 4 - 1}, std::uint64_t{kParameters * 8},
        std::numeric_limits<std::uint64_t>::max()}) {
    CheckInReply reply = impostor_.task(fmt::format("{}", bytes));
    reply.mutable_task()->set_model_bytes(bytes);
    impostor_.answer_with(clients++, {reply});
  }
  serve_as(pki_, {.role = "aggregator", .index = 0, .uid = kUid});
  const auto end = play(clients, 20s);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(end->reason, "over");
  EXPECT_EQ(trained_, 0);
  EXPECT_EQ(progress_.bytes_received(), 0U);
  EXPECT_EQ(progress_.updates_failed(), clients);
  EXPECT_THAT(impostor_.failure_of("0"), HasSubstr("comes with 0 bytes, the client's has 4000"));
}

TEST_F(HostileServer, NoModelIsTrainedOnThatIsNotTheOneThatWasAnnounced) {
  std::int32_t clients = 0;
  for (const char* kind : {"longer", "shorter", "another", "elsewhere", "endless", "odd", "restless"})
    impostor_.answer_with(clients++, {impostor_.task(kind)});
  serve_as(pki_, {.role = "aggregator", .index = 0, .uid = kUid});
  const auto end = play(clients, 20s);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(trained_, 0);
  EXPECT_EQ(progress_.updates_sent(), 0);
}

TEST_F(HostileServer, NumbersOutOfAllBoundsBringNobodyOutOfStep) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
  CheckInReply early;
  early.mutable_come_back()->set_after_ms(kLeast);
  early.set_counted_round(kMost);
  CheckInReply overdue = impostor_.task("overdue");
  overdue.mutable_task()->set_deadline_ms(kLeast);
  CheckInReply far =
      impostor_.task("far");  // is trained, and its update offered; the answers to that are nonsense
  far.mutable_task()->set_deadline_ms(kMost);
  far.mutable_task()->set_round(kLeast);
  far.mutable_task()->set_serial(kMost);
  far.mutable_task()->mutable_settings()->set_proximal_mu(std::nan(""));
  impostor_.answer_with(0, {early, overdue, CheckInReply(), far});
  serve_as(pki_, {.role = "aggregator", .index = 0, .uid = kUid});
  const auto end = play(1, 20s);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(trained_, 1);
  EXPECT_EQ(progress_.updates_sent(), 0) << "no such verdict accepts";
  EXPECT_GT(impostor_.calls(), 6);
}

}  // namespace
}  // namespace muster
