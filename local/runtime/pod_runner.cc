// local/runtime/pod_runner.cc: carries out what the pod machine decides
#include "local/runtime/pod_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "common/platform/file_descriptor.h"
#include "common/platform/log.h"
#include "local/runtime/json_access.h"
#include "local/runtime/quantity.h"
#include "local/runtime/volumes.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMessageBytes = 4096;   // of a termination message, as the kubelet reads it
constexpr std::size_t kFallbackBytes = 2048;  // of the log under FallbackToLogsOnError
constexpr std::size_t kFallbackLines = 80;
constexpr std::chrono::seconds kWriteAgain{1};  // after a status write that failed

// Of a plain file only: a container may have put a link or a pipe there, which the node must neither follow
// nor wait for.
std::string first_bytes(const fs::path& file) {
  const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) return "";
  struct stat info {};
  std::string out(kMessageBytes, '\0');
  const bool plain = ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode);
  const ssize_t got = plain ? ::read(fd.get(), out.data(), out.size()) : 0;
  out.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return out;
}

}  // namespace

PodRunner::PodRunner(Reactor& reactor, NodeApi& api, LogStore& logs, const Shared& shared,
                     const NodeOptions& options, const Json& pod, std::string pod_ip)
    : reactor_(reactor),
      api_(api),
      logs_(logs),
      shared_(shared),
      options_(options),
      pod_(pod),
      ip_(std::move(pod_ip)),
      folder_(options.run_folder / "pods" / uid_of(pod)),
      machine_(pod, ip_, options.host_ip) {
  pod_["status"]["podIP"] = ip_;
  pod_["status"]["hostIP"] = options_.host_ip;
}

PodRunner::~PodRunner() {
  if (timer_) reactor_.cancel(*timer_);
  shared_.gpus.give_back(std::exchange(gpus_, {}));
  while (!running_.empty()) (void)take_running(running_.begin()->first);
  logs_.forget(uid_of(pod_));
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error)
    spdlog::warn("cannot remove the folder of a pod pod={} folder={} error={}", name(), folder_.string(),
                 error.message());
}

std::string PodRunner::name() const { return namespace_of(pod_) + "/" + name_of(pod_); }

Moment PodRunner::now() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

void PodRunner::begin() {
  begun_ = true;
  if (!shared_.names.problem().empty() && !text(member(pod_, "spec", "subdomain")).empty()) {
    record({.container = "",
            .init = false,
            .type = "Warning",
            .reason = "NamesUnavailable",
            .message = "names of Services do not resolve in this pod: " + shared_.names.problem()});
  }
  carry_out(machine_.begin(now()));
}

void PodRunner::update(const Json& pod) {
  pod_ = pod;
  pod_["status"]["podIP"] = ip_;
  pod_["status"]["hostIP"] = options_.host_ip;
  carry_out(machine_.updated(pod, now()));
}

void PodRunner::shut_down(std::chrono::milliseconds grace) { carry_out(machine_.shut_down(grace, now())); }

void PodRunner::carry_out(const Effects& effects) {
  ++depth_;
  for (const Effect& effect : effects) {
    if (std::holds_alternative<PrepareVolumes>(effect)) {
      prepare();
    } else if (const auto* to_start = std::get_if<StartContainer>(&effect)) {
      start(to_start->name);
    } else if (const auto* to_end = std::get_if<TerminateContainer>(&effect)) {
      terminate(to_end->name);
    } else if (const auto* to_kill = std::get_if<KillContainer>(&effect)) {
      if (const auto found = running_.find(to_kill->name); found != running_.end())
        found->second.process->kill();
    } else if (const auto* event = std::get_if<RecordEvent>(&effect)) {
      record(*event);
    } else {
      settle();
      if (const Status gone = api_.finish_deletion(pod_); !gone && gone.error().code != Code::kNotFound) {
        spdlog::warn("cannot finish the deletion of a pod pod={} error={}", name(), gone.error().message);
      }
    }
  }
  if (--depth_ == 0) settle();
}

ReadObject PodRunner::reader() const {
  return [this, ns = namespace_of(pod_)](std::string_view resource, std::string_view object) {
    return api_.get(resource, ns, object);
  };
}

void PodRunner::prepare() {
  std::error_code error;
  fs::create_directories(folder_ / "tmp", error);
  fs::create_directories(folder_ / "last-words", error);
  const VolumesInput input{
      .pod = pod_,
      .pod_folder = folder_,
      .volumes_folder = options_.volumes_folder,
      .node_cpu_milli = options_.cpu_milli,
      .node_memory_milli = options_.memory_milli,
      .read = reader(),
      .token = [this] { return api_.account_token(pod_); },
      .bound =
          [this](const Json& claim) {
            const Json status{{"phase", "Bound"},
                              {"accessModes", member(claim, "spec", "accessModes")},
                              {"capacity", member(claim, "spec", "resources", "requests")}};
            if (const Status written = api_.write_status("persistentvolumeclaims", claim, status); !written) {
              spdlog::warn("cannot bind a claim pod={} error={}", name(), written.error().message);
            }
          },
      .claims = shared_.claims};
  const auto gpus_wanted = static_cast<std::size_t>(pod_request_milli(pod_, kGpuResource) / 1000);
  if (gpus_.empty() && gpus_wanted > 0) {
    std::optional<std::vector<std::string>> taken = shared_.gpus.take(gpus_wanted);
    // The scheduler counts them, too; it may be early by the time that another pod takes to end.
    if (!taken)
      return carry_out(machine_.prepare_failed(fmt::format("waits for {} GPUs", gpus_wanted), now()));
    gpus_ = *std::move(taken);
  }
  auto volumes = prepare_volumes(input);
  if (!volumes) return carry_out(machine_.prepare_failed(volumes.error().message, now()));
  volumes_ = *std::move(volumes);
  carry_out(machine_.prepared(now()));
}

void PodRunner::heard(const std::string& name, ProbeKind kind, bool success, ProbeVerdict verdict,
                      const std::string& output) {
  if (!success) {
    record({.container = name,
            .init = false,
            .type = "Warning",
            .reason = "Unhealthy",
            .message = fmt::format("{} probe failed: {}", probe_name(kind), readable(output))});
  }
  if (verdict == ProbeVerdict::kUndecided) return;
  const bool healthy = verdict == ProbeVerdict::kHealthy;
  if (kind == ProbeKind::kReadiness) {
    machine_.set_ready(name, healthy, now());
    carry_out({});
  } else if (healthy && kind == ProbeKind::kStartup) {
    machine_.set_started(name, true, now());
    carry_out(machine_.tick(now()));  // what waits for a sidecar may start
  } else if (!healthy) {
    const char* which = kind == ProbeKind::kStartup ? "startup" : "liveness";
    carry_out(machine_.restart(
        name, fmt::format("Container {} failed {} probe, will be restarted", name, which), now()));
  }
}

PodRunner::Running PodRunner::take_running(const std::string& name) {
  Running out = std::move(running_.extract(name).mapped());
  if (out.hook_over) reactor_.cancel(*out.hook_over);
  return out;
}

void PodRunner::ended(const std::string& name, const ContainerProcess::Ended& how) {
  const Running done = take_running(name);
  done.log->end(std::chrono::system_clock::now());
  const int code = WIFSIGNALED(how.status) ? 128 + WTERMSIG(how.status) : WEXITSTATUS(how.status);
  std::string message = first_bytes(done.last_words);
  const ContainerState* state = machine_.find(name);
  const bool fall_back =
      state != nullptr && text(member(state->spec, "terminationMessagePolicy")) == "FallbackToLogsOnError";
  if (message.empty() && code != 0 && fall_back) message = done.log->tail(kFallbackBytes, kFallbackLines);
  carry_out(machine_.exited(name, code, readable(message), now()));
}

void PodRunner::record(const RecordEvent& event) {
  std::string path;
  if (!event.container.empty()) {
    path = fmt::format("spec.{}{{{}}}", event.init ? "initContainers" : "containers", event.container);
  }
  api_.record({.pod = pod_,
               .field_path = std::move(path),
               .type = event.type,
               .reason = event.reason,
               .message = event.message});
}

void PodRunner::settle() {
  Json status = machine_.status();
  std::optional<Instant> due = machine_.next_deadline();
  if (status != written_) {
    const Status wrote = api_.write_status("pods", pod_, status);
    if (wrote || wrote.error().code == Code::kNotFound) {
      written_ = std::move(status);
    } else {
      spdlog::warn("cannot write the status of a pod, trying again pod={} error={}", name(),
                   wrote.error().message);
      const Instant again = std::chrono::steady_clock::now() + kWriteAgain;
      due = due ? std::min(*due, again) : again;
    }
  }
  if (timer_) reactor_.cancel(*timer_);
  timer_.reset();
  if (due) {
    timer_ = reactor_.at(*due, [this] {
      timer_.reset();
      carry_out(machine_.tick(now()));
    });
  }
  if (machine_.terminal() && nothing_runs()) shared_.gpus.give_back(std::exchange(gpus_, {}));
  if (idle_ && nothing_runs()) idle_();
}

}  // namespace muster::local
