// bench/operator/operator_process.cc: starting it, and reading /proc and /metrics
#include "bench/operator/operator_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "bench/operator/pod_watch.h"
#include "kube/cpprest_transport.h"

extern char** environ;  // NOLINT: POSIX's name

namespace muster {
namespace {

std::string free_address() {
  const int port = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (::bind(port, any, size) != 0 || ::getsockname(port, any, &size) != 0) die("no port is free");
  ::close(port);
  return fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
}

}  // namespace

OperatorProcess::OperatorProcess(const std::string& binary, const std::string& kubeconfig) {
  const std::string address = free_address();
  kube::ClusterConfig config;
  config.server = "http://" + address;
  config.source = "the operator's metrics";
  auto client = kube::make_client(config);
  if (!client) die(client.error().message);
  metrics_ = *std::move(client);
  std::vector<std::string> words{binary,  "--kubeconfig",         kubeconfig,     "--metrics-address",
                                 address, "--operator-namespace", kBenchNamespace};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  if (posix_spawn(&pid_, binary.c_str(), &actions, nullptr, arguments.data(), environ) != 0)
    die(fmt::format("cannot run {}; build it first", binary));
  posix_spawn_file_actions_destroy(&actions);
}

OperatorProcess::~OperatorProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

double OperatorProcess::cpu_seconds() const {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid_));
  std::string field;
  double ticks = 0;
  for (int i = 1; i <= 15 && stat >> field; ++i)
    if (i >= 14) ticks += std::stod(field);
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double OperatorProcess::mebibytes(const std::string& field) const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1)) / 1024;
  }
  return 0;
}

std::string OperatorProcess::memory() const {
  return fmt::format("RSS {:.1f} MiB (anonymous {:.1f})", mebibytes("VmRSS"), mebibytes("RssAnon"));
}

std::string OperatorProcess::page() const {
  const auto answer = metrics_->raw({.method = "GET", .target = "/metrics", .headers = {}, .body = {}});
  return answer ? answer->body : "";
}

bool OperatorProcess::ready() const {
  return metrics_->raw({.method = "GET", .target = "/readyz", .headers = {}, .body = {}}).has_value();
}

double OperatorProcess::metric(const std::string& sample) const {
  double sum = 0;
  std::istringstream lines(page());
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(sample)) sum += std::stod(line.substr(line.rfind(' ')));
  return sum;
}

double OperatorProcess::quantile(const std::string& histogram, double share) const {
  std::map<double, double> below;  // bound -> how many, over all labels
  std::istringstream lines(page());
  for (std::string line; std::getline(lines, line);) {
    const auto bound = line.find("le=\"");
    if (line.starts_with(histogram + "_bucket") && bound != std::string::npos)
      below[std::stod(line.substr(bound + 4))] += std::stod(line.substr(line.rfind(' ')));
  }
  if (below.empty()) return 0;
  const double rank = share * below.rbegin()->second;
  double from = 0, under = 0;
  for (const auto& [bound, count] : below) {
    if (count >= rank) {
      const bool last = std::isinf(bound) || count == under;
      return last ? from : from + (bound - from) * (rank - under) / (count - under);
    }
    from = bound;
    under = count;
  }
  return from;
}

}  // namespace muster
