// tests/device/federation_memory_test.cc: the memory of the real muster-aggregator beside its bound
//
// The bound is ARCHITECTURE.md's: two models, the room for updates on their way in, the chunks of downloads,
// and what the process takes. The model is larger than the last may grow, so that one more copy of it, or of
// an update, is above the bound. `./dev bench aggregation` measures the same with 256 MiB.
#include "aggregator/shell/transfer_calls.h"
#include "aggregator/shell/upload.h"
#include "tests/device/federation_calls.h"
#include "tests/device/federation_process.h"

namespace muster {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kOther = 32 * kMiB;  // threads, the test data, sessions of TLS

class FederationMemory : public FederationProcess {
 protected:
  FederationMemory() {
    federation_.rounds = 100;
    federation_.training.model = {.name = "mlp", .hidden = {4096, 4096}};  // 65 MiB
    federation_.training.dataset.synthetic = {.devices = 150,
                                              .sigma = 0};  // so many that an evaluation lasts
    federation_.partition.kind = "IID";
    federation_.stragglers.deadline_seconds = 60;
  }
  void SetUp() override {
    if (!kMemoryIsOurs) GTEST_SKIP() << "the memory would be the sanitizer's, too";
  }
  void serve(std::int64_t clients) {
    federation_.clients = clients;
    federation_.clients_per_pod = clients;
    federation_.cohort = {.size = clients, .over_selection = 1.0, .minimum = 1};
    server_ = aggregator(false);
    const auto waiting = [](const auto& status) { return status.phase() == control::v1::PHASE_WAITING; };
    ASSERT_TRUE(eventually([&] { return server_->until(waiting).has_value(); }));
    process_ = peak() + kOther;
    ASSERT_TRUE(server_->configure(aggregator_assignment()).ok());
    ASSERT_TRUE(server_->until(running));
    stub_ = stub();
  }
  [[nodiscard]] std::unique_ptr<FederationStub> stub() const {
    grpc::ChannelArguments arguments;  // of a reader to whom the server cannot send far ahead
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return federation_stub(server_->ip() + ":8471", kUid, shared_test_pki().of_pod("client", 0, kUid),
                           arguments);
  }
  std::vector<Task> begin_round() {
    std::vector<Task> tasks;
    for (const CheckInReply& reply : check_in_all(static_cast<std::int32_t>(federation_.clients),
                                                  [this](std::int32_t) { return stub_; })) {
      EXPECT_TRUE(reply.has_task());
      tasks.push_back(reply.task());
    }
    model_ = static_cast<std::int64_t>(tasks[0].model_bytes());
    update_.resize(tasks[0].model_bytes() / sizeof(float), 0.0F);
    return tasks;
  }
  void report(const Task& task) {
    UploadReply reply;
    const grpc::Status status = upload(*stub_, header_of(task, update_), update_, reply);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(reply.verdict(), UploadReply::ACCEPTED) << reply.reason();
  }

  // What the kernel cannot take back: less the pages of files, which are the libraries' code.
  [[nodiscard]] std::int64_t peak() const {
    return (status_kib(server_->pid(), "VmHWM") - status_kib(server_->pid(), "RssFile")) * 1024;
  }
  void reset_peak() {
    std::ofstream(fmt::format("/proc/{}/clear_refs", server_->pid())) << "5";  // proc(5): resets VmHWM
  }

  std::unique_ptr<Pod> server_;
  std::shared_ptr<FederationStub> stub_;  // one: a peer has few connections
  std::int64_t process_ = 0;  // bytes: what it takes before it has a model (libtorch's tables), and kOther
  std::int64_t model_ = 0;    // bytes
  std::vector<float> update_;
};

TEST_F(FederationMemory, ARoundTakesTwoModelsAndTheUpdateOnItsWay) {
  serve(2);
  const auto first = begin_round();
  ASSERT_GT(model_, 2 * kOther) << "a copy of it would be within the bound";
  ASSERT_TRUE(download(*stub_, first[0].task_id()).ok());
  report(first[0]);
  EXPECT_LT(peak(),
            2 * model_ + static_cast<std::int64_t>(agg::room_of_upload(first[0].model_bytes())) + process_);
  // No update is on its way while the round is finished, hashed, installed and saved.
  reset_peak();
  EXPECT_GT(peak(), 2 * model_) << "the model and the aggregate";
  UploadHeader none = header_of(first[1], update_);
  none.set_failure("it has no data");
  UploadReply reply;
  ASSERT_TRUE(upload(*stub_, none, {}, reply).ok());
  const auto second = begin_round();
  EXPECT_LT(peak(), 2 * model_ + process_);
  // Nor while it is evaluated, beside the aggregate of the round after it.
  report(second[0]);
  reset_peak();
  const auto evaluated = [](const auto& status) { return status.aggregator().history_size() > 0; };
  const auto now = server_->until([](const auto&) { return true; });
  ASSERT_TRUE(now && !evaluated(*now)) << "the evaluation was over too soon to see what it takes";
  EXPECT_GT(peak(), 2 * model_) << "the model and the aggregate";
  ASSERT_TRUE(server_->until(evaluated));
  EXPECT_LT(peak(), 2 * model_ + process_);
}

// FedAdam: both moments beside the model and the aggregate, also while they are saved.
TEST_F(FederationMemory, WhatTheServerRemembersIsThereOnce) {
  federation_.strategy = {.name = "FedAdam", .learning_rate = 0.01};
  serve(2);
  for (int round = 1; round <= 2; ++round) {
    const auto tasks = begin_round();
    report(tasks[0]);
    report(tasks[1]);
  }
  const auto third = begin_round();
  EXPECT_GT(peak(), 4 * model_) << "the model, the aggregate and two moments";
  EXPECT_LT(peak(),
            4 * model_ + static_cast<std::int64_t>(agg::room_of_upload(third[0].model_bytes())) + process_);
}

// An upload or download that stands still; its call is open as long as it lives.
struct Standing {
  ~Standing() { context.TryCancel(); }
  grpc::ClientContext context;
  UploadReply reply;
  std::unique_ptr<grpc::ClientReader<Chunk>> reader;
  std::unique_ptr<grpc::ClientWriter<UploadRequest>> writer;
};

TEST_F(FederationMemory, MoreClientsAtOnceTakeNoMoreThanTheRoomForThem) {
  constexpr std::int64_t kClients = 14;
  serve(kClients);
  const auto tasks = begin_round();
  const auto room = static_cast<std::int64_t>(agg::kUploadMemory);
  ASSERT_GT(kClients * model_, room + model_ + process_) << "all of them would be above the bound";
  std::vector<std::unique_ptr<Standing>> downloads;
  std::vector<std::unique_ptr<Standing>> uploads;
  for (const Task& task : tasks) {
    Standing& call = *downloads.emplace_back(std::make_unique<Standing>());
    limit(call.context);
    federation::v1::DownloadRequest request;
    request.set_task_id(task.task_id());
    call.reader = stub_->Download(&call.context, request);
    Chunk chunk;
    EXPECT_TRUE(call.reader->Read(&chunk));
  }
  const UploadHeader like = header_of(tasks[0], update_);
  const std::string bytes(kUploadChunkBytes, '\0');
  std::int64_t refused = 0;
  for (const Task& task : tasks) {  // all but the end of each
    auto call = std::make_unique<Standing>();
    limit(call->context);
    call->writer = stub_->Upload(&call->context, &call->reply);
    UploadRequest request;
    *request.mutable_header() = like;
    request.mutable_header()->set_task_id(task.task_id());
    bool writing = call->writer->Write(request);
    for (std::size_t at = 0; writing && at + bytes.size() < task.model_bytes(); at += bytes.size()) {
      request.mutable_chunk()->set_offset(at);
      *request.mutable_chunk()->mutable_data() = bytes;
      writing = call->writer->Write(request);
    }
    if (writing) {
      uploads.push_back(std::move(call));
    } else {
      EXPECT_EQ(call->writer->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      ++refused;
    }
  }
  const auto held = static_cast<std::int64_t>(uploads.size());
  EXPECT_EQ(held, room / static_cast<std::int64_t>(agg::room_of_upload(tasks[0].model_bytes())));
  EXPECT_EQ(
      series_of(metrics_page(server_->ip()), "muster_federation_calls_refused_total{reason=\"no_room\"}"),
      static_cast<double>(refused));
  EXPECT_GT(peak(), (held - 1) * model_) << "what is held is seen";
  EXPECT_LT(peak(), 2 * model_ + room + static_cast<std::int64_t>(agg::kDownloadMemory) + process_);
  uploads.clear();
  report(tasks.back());  // there is room for who was refused before
  EXPECT_LT(peak(), 2 * model_ + room + static_cast<std::int64_t>(agg::kDownloadMemory) + process_);
}

}  // namespace
}  // namespace muster
