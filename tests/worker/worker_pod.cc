// tests/worker/worker_pod.cc: processes, addresses and the control channel behind worker_pod.h
#include "tests/worker/worker_pod.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <latch>
#include <random>
#include <thread>
#include <utility>

#include "common/platform/volume_map.h"
#include "tests/support/pod_figures.h"
#include "tests/support/test_pki.h"

namespace muster::worker::test {
namespace {

std::string random_prefix() {  // 127.x.y.: 60,000 of them, so that tests running side by side do not meet
  std::random_device device;
  return fmt::format("127.{}.{}.", 10 + device() % 240, 1 + device() % 254);
}

}  // namespace

std::filesystem::path fresh_folder() {
  std::string path = (std::filesystem::temp_directory_path() / "muster-worker-test-XXXXXX").string();
  EXPECT_NE(nullptr, mkdtemp(path.data()));
  return path;
}

Json small_training(std::int64_t batch_size, std::int64_t epochs) {
  return Json::parse(fmt::format(
      R"({{"model": {{"name": "softmax"}},
           "dataset": {{"name": "synthetic", "synthetic": {{"devices": 10, "sigma": 1.0}}}},
           "optimizer": {{"name": "SGD", "learningRate": 0.01, "momentum": 0.9}}, "batchSize": {}, "epochs": {},
           "seed": 7}})",
      batch_size, epochs));
}

WorkerPod::WorkerPod(std::string ip, const std::filesystem::path& folder,
                     std::map<std::string, std::string> environment, std::vector<std::string> arguments,
                     int index)
    : ip_(std::move(ip)), termination_log_(folder / ("last-words-" + ip_)) {
  const PeerName peer{.role = "worker", .index = index, .uid = kJobUid};
  const std::filesystem::path credentials = folder / ("credentials-" + ip_);
  shared_test_pki().write(credentials, peer);
  environment.insert({{"MUSTER_POD_NAME", "pod-" + ip_},
                      {"MUSTER_POD_UID", "pod-" + ip_},
                      {"MUSTER_POD_IP", ip_},
                      {"MUSTER_JOB_UID", kJobUid},
                      {kVolumeMapVariable, volume_map_text({{kCredentialsFolder, credentials.string()}})},
                      {"MUSTER_ROLE", peer.role},
                      {"MUSTER_INDEX", std::to_string(index)},
                      {"MUSTER_TERMINATION_LOG", termination_log_.string()},
                      {"MUSTER_LOG", "info"}});
  for (const char* name : {"ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"})
    if (const char* value = std::getenv(name)) environment.insert({name, value});
  std::vector<std::string> variables;
  variables.reserve(environment.size());
  for (const auto& [name, value] : environment) variables.push_back(fmt::format("{}={}", name, value));
  const std::string log = (folder / ("log-" + ip_)).string();
  arguments.insert(arguments.begin(), MUSTER_WORKER_PROGRAM);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> envp;
  envp.reserve(variables.size() + 1);
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execve(MUSTER_WORKER_PROGRAM, argv.data(), envp.data());
    _exit(127);
  }
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  stub_ = control::v1::Agent::NewStub(shared_test_pki().channel(ip_ + ":8470", peer));
}

WorkerPod::~WorkerPod() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(pidfd_);
}

grpc::Status WorkerPod::configure(const control::v1::Assignment& assignment) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  control::v1::ConfigureReply reply;
  return stub_->Configure(&context, assignment, &reply);
}

control::v1::AgentStatus WorkerPod::watch(
    const std::function<bool(const control::v1::AgentStatus&)>& enough) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto reader = stub_->Watch(&context, {});
  control::v1::AgentStatus status;
  while (reader->Read(&status)) {
    if (enough(status)) break;
  }
  context.TryCancel();
  return status;
}

void WorkerPod::signal(int number) const { kill(pid_, number); }

std::int64_t WorkerPod::peak_kib() const {
  const std::int64_t peak = status_kib(pid_, "VmHWM");
  EXPECT_GT(peak, 0) << "no VmHWM of " << ip_;
  return peak;
}

std::string WorkerPod::metrics() const { return metrics_page(ip_); }

Exit WorkerPod::wait(std::chrono::milliseconds limit) {
  pollfd ended{.fd = pidfd_, .events = POLLIN, .revents = 0};
  const bool in_time = poll(&ended, 1, static_cast<int>(limit.count())) == 1;
  const Instant at = std::chrono::steady_clock::now();
  if (!in_time) kill(pid_, SIGKILL);
  int state = 0;
  waitpid(pid_, &state, 0);
  pid_ = -1;
  std::ifstream words(termination_log_);
  std::string text{std::istreambuf_iterator<char>(words), {}};
  const int code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  std::error_code none;
  const auto words_at = std::filesystem::last_write_time(termination_log_, none);
  return {.code = in_time ? code : -1, .at = at, .last_words = std::move(text), .words_at = words_at};
}

WorkerJob::WorkerJob(int workers, std::map<std::string, std::string> environment,
                     std::vector<std::string> arguments)
    : folder_(fresh_folder()),
      prefix_(random_prefix()),
      environment_(std::move(environment)),
      arguments_(std::move(arguments)) {
  for (int rank = 0; rank < workers; ++rank) pods_.push_back(make_pod(rank));
}

std::unique_ptr<WorkerPod> WorkerJob::make_pod(int index) {
  return std::make_unique<WorkerPod>(prefix_ + std::to_string(++pods_made_), folder_, environment_,
                                     arguments_, index);
}

std::unique_ptr<WorkerPod> WorkerJob::spare(int rank) {
  auto pod = make_pod(rank);
  pod->watch([](const auto& status) { return status.phase() == control::v1::PHASE_WAITING; });
  return pod;
}

std::unique_ptr<WorkerPod> WorkerJob::replace(int rank, std::unique_ptr<WorkerPod> spare) {
  ++membership;
  return std::exchange(pods_[static_cast<std::size_t>(rank)], std::move(spare));
}

std::unique_ptr<WorkerPod> WorkerJob::remove(int rank) {
  ++membership;
  auto removed = std::move(pods_[static_cast<std::size_t>(rank)]);
  pods_.erase(pods_.begin() + rank);
  return removed;
}

void WorkerJob::add(std::unique_ptr<WorkerPod> spare) {
  ++membership;
  pods_.push_back(std::move(spare));
}

WorkerJob::~WorkerJob() {
  if (testing::Test::HasFailure()) {
    for (int pod = 1; pod <= pods_made_; ++pod) {
      const std::string ip = prefix_ + std::to_string(pod);
      std::ifstream log(folder_ / ("log-" + ip));
      std::cerr << "--- log of " << ip << "\n" << log.rdbuf() << "\n";
    }
  }
  pods_.clear();
  std::filesystem::remove_all(folder_);
}

control::v1::Assignment WorkerJob::assignment(int rank, const Json& training, int timeout_seconds) const {
  control::v1::Assignment assignment;
  assignment.set_namespace_("default");
  assignment.set_name("job");
  assignment.set_uid(kJobUid);
  assignment.set_membership(membership);
  assignment.set_membership_key(std::string(32, static_cast<char>('j' + membership)));
  auto& worker = *assignment.mutable_worker();
  worker.set_rank(rank);
  for (const auto& pod : pods_) {
    auto& member = *worker.add_roster();
    member.set_pod_uid("pod-" + pod->ip());
    member.set_address(pod->ip() + ":8471");
  }
  if (training.contains("checkpoint"))
    assignment.add_writable_mounts(training["checkpoint"]["path"].get<std::string>());
  Json synchronization{{"topology", topology},
                       {"updates", updates},
                       {"timeoutSeconds", timeout_seconds},
                       {"peerTimeoutSeconds", peer_timeout_seconds}};
  if (local_steps > 1) synchronization["localSteps"] = local_steps;
  if (servers > 0) synchronization["parameterServers"] = {{"shards", servers}};
  worker.set_servers(servers);
  if (topology == "Gossip") worker.set_parts(size());
  if (topology == "Gossip") synchronization["gossip"] = {{"graph", "Exponential"}};
  const Json spec{{"training", training},
                  {"synchronization", std::move(synchronization)},
                  {"compression", compression},
                  {"security", {{"encryptTraffic", encrypt}}}};
  assignment.set_spec(spec.dump());
  return assignment;
}

void WorkerJob::configure(const Json& training, int timeout_seconds) {
  for (int rank = 0; rank < size(); ++rank) {
    const grpc::Status status = pod(rank).configure(assignment(rank, training, timeout_seconds));
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
}

std::vector<control::v1::AgentStatus> WorkerJob::run(const Json& training) {
  std::vector<control::v1::AgentStatus> last(pods_.size());
  std::vector<std::thread> threads;
  threads.reserve(pods_.size());
  std::latch watched(size());
  for (int rank = 0; rank < size(); ++rank) {
    threads.emplace_back([this, rank, &last, &watched] {
      bool first = true;
      const auto arrive = [&] {
        if (std::exchange(first, false)) watched.count_down();
      };
      last[static_cast<std::size_t>(rank)] = pod(rank).watch([&](const auto& status) {
        arrive();
        return status.phase() == control::v1::PHASE_SUCCEEDED || status.phase() == control::v1::PHASE_FAILED;
      });
      arrive();  // also where there was nothing to watch
    });
  }
  watched.wait();
  configure(training);
  for (std::thread& thread : threads) thread.join();
  return last;
}

}  // namespace muster::worker::test
