// local/runtime/pod_start.cc: how a container starts: its command, environment, mounts, hooks and probes
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <system_error>

#include "common/base/random.h"
#include "common/spec/paths.h"
#include "local/runtime/images.h"
#include "local/runtime/json_access.h"
#include "local/runtime/pod_runner.h"
#include "local/runtime/volumes.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

// What a program of this machine expects to find; everything else of our environment stays here.
constexpr std::array kPassedOn{"PATH",          "HOME",        "USER",         "LOGNAME",
                               "LANG",          "LC_ALL",      "TZ",           "LD_LIBRARY_PATH",
                               "PYTHONPATH",    "MUSTER_LOG",  "ASAN_OPTIONS", "LSAN_OPTIONS",
                               "UBSAN_OPTIONS", "TSAN_OPTIONS"};

// 64 hexadecimal digits, as other runtimes have.
std::string container_id(const std::string& uid, pid_t pid) {
  const std::uint64_t key = hash_key(std::hash<std::string>{}(uid), pid,
                                     std::chrono::steady_clock::now().time_since_epoch().count());
  return fmt::format("{:016x}{:016x}{:016x}{:016x}", hash_key(key, 0), hash_key(key, 1), hash_key(key, 2),
                     hash_key(key, 3));
}

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
  if (how.failed_step == kStepNamespace || how.failed_step == kStepBind) {
    return fmt::format("container \"{}\": cannot have a mount namespace with an {} of its own: {}", container,
                       spec.binds.front().at.string(), reason);
  }
  return fmt::format(
      "container \"{}\": exec: \"{}\": {}; install the program on this machine or correct the command",
      container, spec.command.front(), reason);
}

}  // namespace

Result<Variables> PodRunner::variables(const Json& container) const {
  return container_variables({.pod = pod_,
                              .container = container,
                              .services = api_.services(namespace_of(pod_)),
                              .api_host = options_.api_host,
                              .api_port = options_.api_port,
                              .node_cpu_milli = options_.cpu_milli,
                              .node_memory_milli = options_.memory_milli,
                              .read = reader()});
}

Result<std::vector<Mount>> PodRunner::mounts(const Json& container, const Variables& variables,
                                             const fs::path& last_words) const {
  MUSTER_ASSIGN(std::vector<Mount> out, container_mounts(container, volumes_, variables));
  for (Mount& mount : out) {
    // What is missing is created, as in a cluster.
    std::error_code error;
    if (!fs::exists(mount.folder, error)) fs::create_directories(mount.folder, error);
    if (!mount.sub.empty()) {
      MUSTER_ASSIGN(mount.folder, place_inside(mount.folder, mount.sub));
    }
    if (stands_anywhere(mount.folder)) continue;
    const fs::path links = folder_ / "mounts" / text(member(container, "name"));
    MUSTER_ASSIGN(mount.folder, link_at(links / std::to_string(&mount - out.data()), mount.folder));
  }
  out.insert(out.begin(),
             Mount{.at = text(member(container, "terminationMessagePath"), "/dev/termination-log"),
                   .folder = last_words,
                   .sub = {}});
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
  set_variable(environment, "HOSTNAME", pod_hostname(pod_));
  set_variable(environment, "TMPDIR", (folder_ / "tmp").string());
  for (auto& [variable, value] : gpu_variables(pod_, container, gpus_, options_.gpus))
    set_variable(environment, variable, value);
  for (const auto& [variable, value] : variables)
    set_variable(environment, variable, rewrite_paths(value, mounts));
  std::vector<Mount> folders(mounts.begin() + 1, mounts.end());
  if (!folders.empty()) set_variable(environment, kVolumeMapVariable, volume_map_text(volume_map(folders)));
  set_variable(environment, "MUSTER_TERMINATION_LOG", last_words.string());
  // By this mark a later run finds processes that outlived this one.
  set_variable(environment, "MUSTER_RUN_FOLDER", options_.run_folder.string());
  for (const auto& [variable, value] : environment)
    out.environment.push_back(fmt::format("{}={}", variable, value));
  out.binds = shared_.names.binds(namespace_of(pod_));
  if (!out.binds.empty()) out.hostname = pod_hostname(pod_);
  std::string directory = text(member(container, "workingDir"));
  if (!directory.empty()) directory = spec::mount_path(directory);
  out.directory = directory.empty() ? folder_ / "work" / text(member(container, "name"))
                                    : fs::path(rewrite_paths(directory, mounts));
  // In a volume a folder that is missing is made, as in a cluster; on the machine itself nothing is.
  if (out.directory != directory) {
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
            follow_start(name, spec, mounts);
          },
      .output = [log](std::string_view bytes) { log->append(bytes, std::chrono::system_clock::now()); },
      .ended =
          [this, name, spec](const ContainerProcess::Ended& how) {
            if (how.started) return ended(name, how);
            const Running done = take_running(name);
            done.log->end(std::chrono::system_clock::now());
            carry_out(machine_.start_failed(name, why_not_started(name, spec, how), now()));
          }};
  MUSTER_ASSIGN(auto process, ContainerProcess::start(reactor_, spec, std::move(handlers)));
  Running& running = running_[name];
  running.process = std::move(process);
  running.log = std::move(log);
  running.last_words = mounts.front().folder;
  return {};
}

// postStart first, then the probes.
void PodRunner::follow_start(const std::string& name, const ContainerProcess::Spec& spec,
                             const std::vector<Mount>& mounts) {
  const ContainerState* state = machine_.find(name);
  const auto running = running_.find(name);
  if (state == nullptr || running == running_.end()) return;
  running->second.target = {
      .ip = ip_, .container = state->spec, .exec = spec, .rewrite = [mounts](const std::string& word) {
        return rewrite_paths(word, mounts);
      }};
  running->second.prober = std::make_unique<Prober>(
      reactor_, running->second.target,
      [this, name](ProbeKind kind, bool success, ProbeVerdict verdict, const std::string& output) {
        heard(name, kind, success, verdict, output);
      });
  if (!has_post_start(state->spec)) return running->second.prober->start();
  run_hook(name, "postStart", [this, name](bool success) {
    if (!success) return carry_out(machine_.restart(name, "FailedPostStartHook", now()));
    if (const ContainerState* started = machine_.find(name); !started->spec.contains("startupProbe")) {
      machine_.set_started(name, true, now());
      carry_out(machine_.tick(now()));
    }
    if (const auto found = running_.find(name); found != running_.end()) found->second.prober->start();
  });
}

// preStop first, then SIGTERM; the time that the hook takes counts against the grace period.
void PodRunner::terminate(const std::string& name) {
  const auto found = running_.find(name);
  if (found == running_.end()) return;
  if (!member(found->second.target.container, "lifecycle", "preStop").is_object())
    return found->second.process->signal(SIGTERM);
  run_hook(name, "preStop", [this, name](bool) {
    if (const auto still = running_.find(name); still != running_.end())
      still->second.process->signal(SIGTERM);
  });
}

// `then` is called on the reactor once the hook is over, unless the container is over first.
void PodRunner::run_hook(const std::string& name, const char* hook, std::function<void(bool)> then) {
  Running& running = running_.at(name);
  if (running.hook_over) reactor_.cancel(*running.hook_over);
  running.hook_over.reset();
  const Json& spec = member(running.target.container, "lifecycle", hook);
  const auto over = [this, name, hook, then = std::move(then)](bool success, const std::string& output) {
    // Not within the hook's own call: `then` may end it.
    running_.at(name).hook_over = reactor_.at(std::chrono::steady_clock::now(), [=, this] {
      Running& done = running_.at(name);
      done.hook_over.reset();
      done.hook.reset();
      if (!success) record_hook_failure(name, hook, output);
      then(success);
    });
  };
  running.hook = start_check(reactor_, spec, running.target, over);
}

void PodRunner::record_hook_failure(const std::string& name, std::string_view hook,
                                    const std::string& output) {
  const bool start = hook == "postStart";
  const ContainerState* state = machine_.find(name);
  record({.container = name,
          .init = state != nullptr && state->init(),
          .type = "Warning",
          .reason = start ? "FailedPostStartHook" : "FailedPreStopHook",
          .message = fmt::format("{}Hook failed: {}", start ? "PostStart" : "PreStop", readable(output))});
}

}  // namespace muster::local
