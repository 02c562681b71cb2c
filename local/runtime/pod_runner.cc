// local/runtime/pod_runner.cc: carries out what the pod machine decides
#include "local/runtime/pod_runner.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <system_error>

#include "common/base/random.h"
#include "common/platform/log.h"
#include "local/runtime/images.h"
#include "local/runtime/json_access.h"
#include "local/runtime/volumes.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMessageBytes = 4096;   // of a termination message, as the kubelet reads it
constexpr std::size_t kFallbackBytes = 2048;  // of the log under FallbackToLogsOnError
constexpr std::size_t kFallbackLines = 80;
constexpr std::chrono::seconds kWriteAgain{1};  // after a status write that failed

// What a program of this machine expects to find; everything else of our environment stays here.
constexpr std::array kPassedOn{"PATH",        "HOME",         "USER",         "LOGNAME",
                               "LANG",        "LC_ALL",       "TZ",           "LD_LIBRARY_PATH",
                               "MUSTER_LOG",  "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
                               "TSAN_OPTIONS"};

std::string first_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string out(kMessageBytes, '\0');
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(in.gcount()));
  return out;
}

// 64 hexadecimal digits, as other runtimes have.
std::string container_id(const std::string& uid, pid_t pid) {
  const std::uint64_t key = hash_key(std::hash<std::string>{}(uid), pid,
                                     std::chrono::steady_clock::now().time_since_epoch().count());
  return fmt::format("{:016x}{:016x}{:016x}{:016x}", hash_key(key, 0), hash_key(key, 1), hash_key(key, 2),
                     hash_key(key, 3));
}

// JSON holds UTF-8 only; a message may be anything.
std::string readable(std::string bytes) {
  return Json(std::move(bytes)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string utf8(std::string bytes) { return Json::parse(readable(std::move(bytes))).get<std::string>(); }

std::string why_not_started(const std::string& container, const ContainerProcess::Spec& spec,
                            const ContainerProcess::Ended& how) {
  std::string reason = std::strerror(how.error);
  if (!reason.empty()) reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  if (how.failed_step == kStepDirectory) {
    return fmt::format("container \"{}\": workingDir {}: {}; create it or correct workingDir", container,
                       spec.directory.string(), reason);
  }
  if (how.failed_step == kStepFork) {
    return fmt::format(
        "container \"{}\": cannot start a process: {}; raise `ulimit -u` or end other programs", container,
        reason);
  }
  return fmt::format(
      "container \"{}\": exec: \"{}\": {}; install the program on this machine or correct the command",
      container, spec.command.front(), reason);
}

}  // namespace

PodRunner::PodRunner(Reactor& reactor, NodeApi& api, LogStore& logs, const NodeOptions& options,
                     const Json& pod, std::string pod_ip)
    : reactor_(reactor),
      api_(api),
      logs_(logs),
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
  running_.clear();
  logs_.forget(uid_of(pod_));
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error)
    spdlog::warn("cannot remove the folder of a pod pod={} folder={} error={}", name(), folder_.string(),
                 error.message());
}

std::string PodRunner::name() const { return namespace_of(pod_) + "/" + name_of(pod_); }

Moment PodRunner::now() { return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()}; }

void PodRunner::begin() { carry_out(machine_.begin(now())); }

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
      if (const auto found = running_.find(to_end->name); found != running_.end())
        found->second.process->signal(SIGTERM);
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
      .read = reader(),
      .bound = [this](const Json& claim) {
        const Json status{{"phase", "Bound"},
                          {"accessModes", member(claim, "spec", "accessModes")},
                          {"capacity", member(claim, "spec", "resources", "requests")}};
        if (const Status written = api_.write_status("persistentvolumeclaims", claim, status); !written) {
          spdlog::warn("cannot bind a claim pod={} error={}", name(), written.error().message);
        }
      }};
  auto volumes = prepare_volumes(input);
  if (!volumes) return carry_out(machine_.prepare_failed(volumes.error().message, now()));
  volumes_ = *std::move(volumes);
  carry_out(machine_.prepared(now()));
}

Result<Variables> PodRunner::variables(const Json& container) const {
  return container_variables({.pod = pod_,
                              .container = container,
                              .services = api_.services(namespace_of(pod_)),
                              .node_cpu_milli = options_.cpu_milli,
                              .node_memory_milli = options_.memory_milli,
                              .read = reader()});
}

Result<std::vector<Mount>> PodRunner::mounts(const Json& container, const Variables& variables,
                                             const fs::path& last_words) const {
  MUSTER_ASSIGN(std::vector<Mount> out, container_mounts(container, volumes_, variables));
  for (const Mount& mount : out) {
    // A subPath is created where it is missing, as a kubelet does.
    std::error_code error;
    if (!fs::exists(mount.folder, error)) fs::create_directories(mount.folder, error);
  }
  out.insert(out.begin(),
             Mount{.at = text(member(container, "terminationMessagePath"), "/dev/termination-log"),
                   .folder = last_words});
  return out;
}

ContainerProcess::Spec PodRunner::plan(const Json& container, const std::vector<std::string>& command,
                                       const Variables& variables, const std::vector<Mount>& mounts,
                                       const fs::path& last_words) const {
  ContainerProcess::Spec out{
      .init = options_.binaries / "muster-init", .command = {}, .environment = {}, .directory = {}};
  for (const std::string& word : command)
    out.command.push_back(rewrite_paths(expand_references(word, variables), mounts));
  Variables environment;
  for (const char* passed : kPassedOn) {
    if (const char* value = std::getenv(passed); value != nullptr) set_variable(environment, passed, value);
  }
  set_variable(environment, "HOSTNAME", text(member(pod_, "spec", "hostname"), name_of(pod_)));
  set_variable(environment, "TMPDIR", (folder_ / "tmp").string());
  for (const auto& [variable, value] : variables)
    set_variable(environment, variable, rewrite_paths(value, mounts));
  std::vector<Mount> folders(mounts.begin() + 1, mounts.end());
  if (!folders.empty()) set_variable(environment, "MUSTER_VOLUME_MAP", volume_map(folders));
  set_variable(environment, "MUSTER_TERMINATION_LOG", last_words.string());
  // By this mark a later run finds processes that outlived this one.
  set_variable(environment, "MUSTER_RUN_FOLDER", options_.run_folder.string());
  for (const auto& [variable, value] : environment) out.environment.push_back(variable + "=" + value);
  const std::string directory = text(member(container, "workingDir"));
  out.directory = directory.empty() ? folder_ / "work" / text(member(container, "name"))
                                    : fs::path("/") / rewrite_paths(directory, mounts);
  if (directory.empty()) {
    std::error_code error;
    fs::create_directories(out.directory, error);
  }
  return out;
}

void PodRunner::start(const std::string& name) {
  const ContainerState* state = machine_.find(name);
  if (state == nullptr || running_.contains(name)) return;
  const Json container = state->spec;
  const auto config_error = [&](const std::string& reason, const std::string& message) {
    carry_out(machine_.config_failed(name, reason, message, now()));
  };
  if (!image_present(container)) {
    return config_error("ErrImageNeverPull",
                        fmt::format("Container image \"{}\" is not present with pull policy of Never",
                                    text(member(container, "image"))));
  }
  const fs::path last_words = folder_ / "last-words" / name;
  const Result<Variables> environment = variables(container);
  if (!environment) return config_error("CreateContainerConfigError", environment.error().message);
  const auto places = mounts(container, *environment, last_words);
  if (!places) return config_error("CreateContainerConfigError", places.error().message);

  std::shared_ptr<ContainerLog> log = logs_.begin(uid_of(pod_), name);
  std::ofstream(last_words, std::ios::trunc).flush();
  const auto command = container_command(container, options_.binaries);
  const Status spawned =
      command ? spawn(name, plan(container, *command, *environment, *places, last_words), *places, log)
              : Status(command.error());
  if (spawned) return;
  log->end(std::chrono::system_clock::now());
  carry_out(machine_.start_failed(name, spawned.error().message, now()));
}

Status PodRunner::spawn(const std::string& name, const ContainerProcess::Spec& spec,
                        const std::vector<Mount>& mounts, std::shared_ptr<ContainerLog> log) {
  ContainerProcess::Handlers handlers{
      .started =
          [this, name, spec, mounts](pid_t pid) {
            carry_out(machine_.started(name, container_id(uid_of(pod_), pid), now()));
            probe(name, spec, mounts);
          },
      .output = [log](std::string_view bytes) { log->append(bytes, std::chrono::system_clock::now()); },
      .ended =
          [this, name, spec](const ContainerProcess::Ended& how) {
            if (how.started) return ended(name, how);
            auto done = std::move(running_.extract(name).mapped());
            done.log->end(std::chrono::system_clock::now());
            carry_out(machine_.start_failed(name, why_not_started(name, spec, how), now()));
          }};
  MUSTER_ASSIGN(auto process, ContainerProcess::start(reactor_, spec, std::move(handlers)));
  running_.emplace(name, Running{.process = std::move(process),
                                 .log = std::move(log),
                                 .last_words = mounts.front().folder,
                                 .prober = nullptr});
  return {};
}

void PodRunner::probe(const std::string& name, const ContainerProcess::Spec& spec,
                      const std::vector<Mount>& mounts) {
  const ContainerState* state = machine_.find(name);
  const auto running = running_.find(name);
  if (state == nullptr || running == running_.end()) return;
  ProbeTarget target{
      .ip = ip_, .container = state->spec, .exec = spec, .rewrite = [mounts](const std::string& word) {
        return rewrite_paths(word, mounts);
      }};
  running->second.prober = std::make_unique<Prober>(
      reactor_, std::move(target),
      [this, name](ProbeKind kind, bool success, ProbeVerdict verdict, const std::string& output) {
        heard(name, kind, success, verdict, output);
      });
  running->second.prober->start();
}

void PodRunner::heard(const std::string& name, ProbeKind kind, bool success, ProbeVerdict verdict,
                      const std::string& output) {
  if (!success) {
    record({.container = name,
            .init = false,
            .type = "Warning",
            .reason = "Unhealthy",
            .message = fmt::format("{} probe failed: {}", probe_name(kind), utf8(output))});
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

void PodRunner::ended(const std::string& name, const ContainerProcess::Ended& how) {
  auto done = std::move(running_.extract(name).mapped());
  done.log->end(std::chrono::system_clock::now());
  const int code = WIFSIGNALED(how.status) ? 128 + WTERMSIG(how.status) : WEXITSTATUS(how.status);
  std::string message = first_bytes(done.last_words);
  const ContainerState* state = machine_.find(name);
  const bool fall_back =
      state != nullptr && text(member(state->spec, "terminationMessagePolicy")) == "FallbackToLogsOnError";
  if (message.empty() && code != 0 && fall_back) message = done.log->tail(kFallbackBytes, kFallbackLines);
  carry_out(machine_.exited(name, code, utf8(std::move(message)), now()));
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
  if (idle_ && nothing_runs()) idle_();
}

}  // namespace muster::local
