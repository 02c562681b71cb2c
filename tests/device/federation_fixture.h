#pragma once  // tests/device/federation_fixture.h: a coordinator and its server on loopback, and what clients
              // say to it
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/federation_service.h"
#include "aggregator/store/mapped_shelf.h"
#include "device/shell/fleet.h"
#include "tests/device/federation_calls.h"
#include "tests/support/temporary_folder.h"

namespace muster {

// Opened once; whoever comes before waits.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    open_ = false;
    waiting_ = 0;
  }
  void wait_for_somebody() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

// A strategy that may be held up, so that a test knows what is under way.
class GatedStrategy final : public agg::Strategy {
 public:
  GatedStrategy(std::unique_ptr<agg::Strategy> strategy, Gate* fold, Gate* finish)
      : strategy_(std::move(strategy)), fold_(fold), finish_(finish) {}
  learning::LocalSettings settings() const override { return strategy_->settings(); }
  std::shared_ptr<const std::vector<float>> broadcast() const override { return strategy_->broadcast(); }
  Status take(const agg::Contribution& from) override {
    if (fold_ != nullptr) fold_->pass();
    return strategy_->take(from);
  }
  Result<std::vector<float>> finish(std::span<const float> model) override {
    if (finish_ != nullptr) finish_->pass();
    return strategy_->finish(model);
  }
  void discard() override { strategy_->discard(); }
  std::vector<learning::SlotView> state() const override { return strategy_->state(); }
  Status restore(std::vector<learning::OptimizerState::Slot> state) override {
    return strategy_->restore(std::move(state));
  }

 private:
  std::unique_ptr<agg::Strategy> strategy_;
  Gate* fold_;
  Gate* finish_;
};

inline constexpr std::size_t kParameters = 400'000;  // 1.6 MB: four chunks

class FederationFixture : public testing::Test {
 protected:
  FederationFixture() {
    options_.federation.rounds = 3;
    options_.federation.clients = 4;
    options_.federation.cohort = {.size = 2, .over_selection = 1.5, .minimum = 1};
    options_.selection_grace = 50ms;
    options_.report_deadline = 20s;
    start_.parameters.assign(kParameters, 0.0F);
  }
  void start() {
    agg::CoordinatorPorts ports;
    ports.evaluate = [this](std::span<const float> values, std::int64_t /*round*/) {
      if (evaluate_gate_ != nullptr) evaluate_gate_->pass();
      return learning::Evaluation{.loss = test_loss_, .accuracy = static_cast<double>(values[0])};
    };
    ports.save = [this](const agg::RoundView& round) {
      saved_ = {.round = round.round,
                .parameters = {round.parameters.begin(), round.parameters.end()},
                .history = {round.history.begin(), round.history.end()},
                .counted = {round.counted.begin(), round.counted.end()}};
      for (const auto& slot : round.state)
        saved_.state.push_back({slot.name, {slot.values.begin(), slot.values.end()}});
      return save_result_;
    };
    auto strategy =
        agg::make_strategy(options_.federation.strategy, start_.parameters.size(),
                           std::make_unique<agg::MappedShelf>(shelf_folder_, start_.parameters.size()),
                           {.clients = options_.federation.clients,
                            .learning_rate = options_.federation.training.optimizer.learning_rate});
    ASSERT_TRUE(strategy) << strategy.error().message;
    if (start_.round > 0 && !start_.finished) {
      ASSERT_TRUE((*strategy)->restore(start_.state));
    }
    coordinator_ = std::make_unique<agg::Coordinator>(
        options_, std::move(ports),
        std::make_unique<GatedStrategy>(std::move(*strategy), fold_gate_, finish_gate_), start_, metrics_,
        std::move(journaled_));
    auto server = agg::FederationServer::start({.ip = "127.0.0.1",
                                                .port = 0,
                                                .credentials = pki_.of_pod("aggregator", 0, "uid"),
                                                .limits = limits_,
                                                .downloads_at_once = downloads_at_once_,
                                                .stranger_patience = stranger_patience_},
                                               *coordinator_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    address_ = fmt::format("127.0.0.1:{}", server_->port());
    stub_ = stub_of(pki_.of_pod("client", 0, "uid"));
  }

  std::unique_ptr<FederationStub> stub_of(const Credentials& credentials,
                                          const grpc::ChannelArguments& arguments = {}) const {
    return federation_stub(address_, "uid", credentials, arguments);
  }
  grpc::Status check_in(std::int32_t client, CheckInReply& reply, std::int64_t hold_ms = 10'000) {
    return muster::check_in(*stub_, client, reply, hold_ms);
  }
  // Checks all clients in at once; the tasks of those that were selected.
  std::vector<Task> begin_round() {
    std::vector<CheckInReply> replies(static_cast<std::size_t>(options_.federation.clients));
    std::vector<std::thread> calls;
    for (std::size_t i = 0; i < replies.size(); ++i) {
      calls.emplace_back(
          [&, i] { static_cast<void>(check_in(static_cast<std::int32_t>(i), replies[i], 400)); });
    }
    for (std::thread& call : calls) call.join();
    std::vector<Task> tasks;
    for (const CheckInReply& reply : replies) {
      if (reply.has_task()) tasks.push_back(reply.task());
    }
    return tasks;
  }
  grpc::Status upload(const UploadHeader& header, std::span<const float> update, UploadReply& reply,
                      std::uint64_t until = ~std::uint64_t{0}, bool break_call = false) {
    return muster::upload(*stub_, header, update, reply, until, break_call);
  }
  std::uint64_t held_bytes(const Task& task) {
    std::uint64_t offset = 0;
    EXPECT_TRUE(upload_offset(*stub_, task.task_id(), offset).ok());
    return offset;
  }
  // An upload that stands still after its first bytes; its call is open until it is told otherwise.
  struct Standing {
    grpc::ClientContext context;
    UploadReply reply;
    std::unique_ptr<grpc::ClientWriter<UploadRequest>> writer;
    grpc::Status finish() { return writer->Finish(); }
  };
  std::unique_ptr<Standing> stand_still(const UploadHeader& header) {
    auto call = std::make_unique<Standing>();
    limit(call->context);
    call->writer = stub_->Upload(&call->context, &call->reply);
    UploadRequest request;
    *request.mutable_header() = header;
    const std::uint64_t before = coordinator_->progress().bytes_received();
    call->writer->Write(request);
    request.mutable_chunk()->set_data("abcd");
    call->writer->Write(request);
    EXPECT_TRUE(eventually([&] { return coordinator_->progress().bytes_received() > before; }));
    return call;
  }
  std::uint64_t until_held(const Task& task, std::uint64_t bytes) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    std::uint64_t held = 0;
    while ((held = held_bytes(task)) < bytes && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    return held;
  }

  agg::CoordinatorOptions options_;
  TemporaryFolder shelf_parent_;
  std::filesystem::path shelf_folder_ = shelf_parent_.path() / "shelf";
  const TestPki& pki_ = shared_test_pki();
  agg::TransferLimits limits_;
  std::size_t downloads_at_once_ = agg::kDownloadsAtOnce;
  std::chrono::milliseconds stranger_patience_ = 5s;
  Status save_result_;
  std::atomic<double> test_loss_ = 1.0;  // of every evaluation; the accuracy is the model's first value
  agg::CommittedRound start_;
  agg::CommittedRound saved_;      // the last
  Gate* evaluate_gate_ = nullptr;  // of every evaluation
  Gate* fold_gate_ = nullptr;      // of every fold
  Gate* finish_gate_ = nullptr;    // of the end of every round
  agg::Journaled journaled_;       // none
  agg::AggregatorMetrics metrics_;
  std::unique_ptr<agg::Coordinator> coordinator_;
  std::unique_ptr<agg::FederationServer> server_;
  std::string address_;
  std::unique_ptr<FederationStub> stub_;
  const std::vector<float> ones_ = std::vector<float>(kParameters, 1.0F);
};

}  // namespace muster
