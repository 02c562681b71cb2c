// bench/aggregator/real_federation.cc: one process, and calls to it
#include "bench/aggregator/real_federation.h"

#include <cstdio>
#include <random>

#include "common/spec/federation.h"

namespace muster {
namespace {

constexpr const char* kUid = "bench";
constexpr std::int64_t kMostPerPod = 25;
constexpr int kTries = 100;
constexpr auto kPause = 100ms;

pid_t aggregator_of_this_process = 0;  // the last that was started; no exit leaves it behind

void must(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

}  // namespace

spec::Federation federation_of(std::int64_t clients, std::int64_t model_bytes, std::int64_t rounds) {
  spec::Federation federation;
  federation.rounds = rounds;
  federation.clients = clients;
  federation.clients_per_pod = std::min(clients, kMostPerPod);
  federation.cohort = {.size = clients, .over_selection = 1.0, .minimum = clients};
  federation.partition.kind = "IID";
  federation.stragglers.deadline_seconds = 3600;
  federation.storage_path = "/models";
  federation.training.dataset.name = "synthetic";
  federation.training.dataset.synthetic = {.devices = std::max<std::int64_t>(10, clients / 50), .sigma = 0};
  federation.training.optimizer.learning_rate = 0.01;
  // Parameters of a network with one hidden layer of h: 71 h + 10.
  constexpr std::int64_t kPerUnit = 71;
  const std::int64_t hidden = model_bytes / static_cast<std::int64_t>(sizeof(float)) / kPerUnit;
  if (hidden < 1) {
    federation.training.model.name = "softmax";
  } else if (hidden <= 100'000) {
    federation.training.model = {.name = "mlp", .hidden = {hidden}};
  } else {  // two layers of h: h^2 + 72 h + 10
    auto side = std::int64_t{1};
    while ((side + 1) * (side + 73) * static_cast<std::int64_t>(sizeof(float)) <= model_bytes) ++side;
    federation.training.model = {.name = "mlp", .hidden = {side, side}};
  }
  return federation;
}

RealFederation::~RealFederation() { aggregator_of_this_process = -1; }

RealFederation::RealFederation(spec::Federation federation) : federation_(std::move(federation)) {
  std::random_device random;
  const std::string ip = fmt::format("127.{}.{}.1", 1 + random() % 250, random() % 250);
  aggregator_ = std::make_unique<testing_process::Pod>(MUSTER_AGGREGATOR_BINARY, "fr-aggregator-0", ip, kUid,
                                                       folder_.path());
  if (aggregator_of_this_process == 0)
    std::ignore = std::atexit([] {
      if (aggregator_of_this_process > 0) kill(aggregator_of_this_process, SIGKILL);
    });
  aggregator_of_this_process = aggregator_->pid();
  control::v1::Assignment assignment;
  assignment.set_namespace_("default");
  assignment.set_name("fr");
  assignment.set_uid(kUid);
  assignment.set_membership(1);
  assignment.set_spec(spec::to_json(federation_).dump());
  assignment.add_writable_mounts(federation_.storage_path);
  assignment.mutable_aggregator();
  const grpc::Status status = aggregator_->configure(assignment);
  must(status.ok(), "muster-aggregator cannot be configured: " + status.error_message());
  const auto running = [](const auto& now) { return now.phase() == control::v1::PHASE_RUNNING; };
  must(aggregator_->until(running, std::chrono::seconds(300)).has_value(),
       "muster-aggregator does not start: " + aggregator_->last_words() + "\n" + aggregator_->log());
  const std::int64_t pods =
      (federation_.clients + federation_.clients_per_pod - 1) / federation_.clients_per_pod;
  for (std::int64_t pod = 0; pod < pods; ++pod)
    stubs_.push_back(federation_stub(ip + ":8471", kUid, shared_test_pki().of_pod("client", pod, kUid)));
}

bool RealFederation::check_in(std::int32_t client, CheckInReply& reply) const {
  for (int tries = 0; tries < kTries; ++tries) {
    grpc::ClientContext context;
    federation::v1::CheckInRequest request;
    request.set_client(client);
    request.set_hold_ms(20'000);
    const grpc::Status status = stub_of(client).CheckIn(&context, request, &reply);
    if (status.ok()) return true;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
    std::this_thread::sleep_for(kPause);
  }
  return false;
}

std::vector<Task> RealFederation::begin_round() const {
  std::vector<Task> tasks(static_cast<std::size_t>(federation_.clients));
  std::atomic<bool> over = false;
  side_by_side(static_cast<std::int32_t>(federation_.clients), [&](std::int32_t client) {
    CheckInReply reply;
    while (!reply.has_task() && !over) {
      must(check_in(client, reply), "a check-in failed");
      if (reply.has_done()) over = true;
    }
    tasks[static_cast<std::size_t>(client)] = reply.task();
  });
  if (over) tasks.clear();
  return tasks;
}

void side_by_side(std::int32_t clients, const std::function<void(std::int32_t client)>& body) {
  std::vector<std::jthread> threads;
  threads.reserve(static_cast<std::size_t>(clients));
  for (std::int32_t client = 0; client < clients; ++client)
    threads.emplace_back([&body, client] { body(client); });
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace muster
