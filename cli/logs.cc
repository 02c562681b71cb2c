// cli/logs.cc: `muster logs NAME`: what the pods of a job say
#include "cli/logs.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <map>
#include <set>
#include <stop_token>
#include <thread>

#include "cli/connect.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/job_view.h"
#include "cli/line_prefixer.h"
#include "cli/log_absence.h"
#include "cli/log_choice.h"
#include "cli/resources.h"
#include "common/base/text.h"
#include "common/platform/mutex.h"
#include "common/platform/signals.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

struct Reader {
  kube::Client& client;
  const LogsOptions& options;
  std::string ns;
  std::string job;  // bare name
  Mutex mutex{};
  Console out MUSTER_GUARDED_BY(mutex){Console::Stream::kOut};
};

bool is_broken(Reader& reader) {
  const MutexLock lock(reader.mutex);
  return reader.out.broken();
}

bool picks(const LogsOptions& options) { return options.rank || options.all_ranks || !options.role.empty(); }

LogChoice choice_of(const LogsOptions& options) {
  return {.rank = options.rank, .all_ranks = options.all_ranks, .role = options.role};
}

std::optional<Json> find_job(Reader& reader) {
  for (const kube::Resource& resource : {kube::kDistributedJobs, kube::kFederatedRounds}) {
    auto job = reader.client.get(resource, reader.ns, reader.job);
    if (job) return *std::move(job);
  }
  return std::nullopt;
}

// The pods that were asked for, in order of role and index.
Result<std::vector<PodView>> find_pods(Reader& reader) {
  std::vector<PodView> pods;
  if (reader.options.pod.empty()) {
    kube::ListOptions list;
    list.label_selector = "muster.dev/job-name=" + reader.job;
    MUSTER_ASSIGN(const kube::ListPage page, reader.client.list_all(kube::kPods, reader.ns, list));
    const auto job = page.items.empty() ? std::nullopt : find_job(reader);
    for (const Json& pod : page.items) {
      pods.push_back(view_pod(pod));
      if (job) give_ranks(*job, pods.back());
    }
    std::erase_if(pods, [&](const PodView& pod) { return !is_asked_for(pod, choice_of(reader.options)); });
    std::sort(pods.begin(), pods.end(), [](const PodView& a, const PodView& b) {
      return std::tie(a.role, a.index) < std::tie(b.role, b.index);
    });
    if (!pods.empty() || picks(reader.options)) return pods;
  }
  const std::string& name = reader.options.pod.empty() ? reader.job : reader.options.pod;
  auto pod = reader.client.get(kube::kPods, reader.ns, name);
  if (pod) return std::vector<PodView>{view_pod(*pod)};
  if (pod.error().code != Code::kNotFound || !reader.options.pod.empty()) return pod.error();
  return pods;
}

bool is_job(Reader& reader, bool* finished) {
  const auto job = find_job(reader);
  if (job && finished != nullptr) *finished = view_job(*job).finished();
  return job.has_value();
}

// "rank 2" with --all-ranks, else "worker-2".
std::string title_of(const PodView& pod, const LogsOptions& options) {
  return fmt::format("{}{}{}", options.all_ranks ? "rank" : pod.role, options.all_ranks ? ' ' : '-',
                     options.all_ranks && pod.rank >= 0 ? pod.rank : pod.index);
}

std::string prefix_of(const PodView& pod, const LogsOptions& options, std::size_t pods) {
  if (pod.role.empty() || (pods <= 1 && !options.all_ranks)) return "";
  return fmt::format("[{}] ", title_of(pod, options));
}

Status no_pods(Reader& reader) {
  const auto job = find_job(reader);
  if (job) return not_found(why_no_pods(*job, {.rank = reader.options.rank, .role = reader.options.role}));
  return not_found(
      fmt::format("no job and no pod '{}' in namespace '{}'; see `muster get -A`", reader.job, reader.ns));
}

// With what the server's words leave out.
Error explain_log(const LogsOptions& options, const PodView& pod, const Error& error) {
  if (error.code == Code::kNotFound || error.code == Code::kCancelled) return error.in("pod " + pod.name);
  if (options.previous)
    return error.in(
        fmt::format("pod {}: Muster makes a new pod instead of starting a container again, and a pod's "
                    "log goes with it",
                    pod.name));
  if (pod.phase != "Pending") return error.in("pod " + pod.name);
  const std::string why = trouble_of(pod);
  return failed_precondition(fmt::format("pod {} has not started, so it has no log{}", pod.name,
                                         why.empty() ? "" : ": " + printable(why)));
}

Status read_log(Reader& reader, const PodView& pod, const std::string& prefix, const std::stop_token& stop) {
  LinePrefixer lines(prefix);
  kube::LogOptions log;
  log.container = reader.options.container.empty() ? pod.main_container : reader.options.container;
  log.follow = reader.options.follow;
  log.previous = reader.options.previous;
  log.tail_lines = reader.options.tail_lines;
  const auto write = [&](const std::string& text) {
    const MutexLock lock(reader.mutex);
    reader.out.write(text);
    return !reader.out.broken();
  };
  Status ended = reader.client.logs(reader.ns, pod.name, log, stop,
                                    [&](std::string_view bytes) { return write(lines.feed(bytes)); });
  (void)write(lines.finish());
  return ended;
}

struct RequestStop {
  std::stop_source& source;
  ~RequestStop() { source.request_stop(); }
};

// Follows every pod, also those that come later, until the job has finished.
Status follow_all(Reader& reader, const std::stop_token& asked) {
  std::set<std::string> started;            // by uid
  std::map<std::string, int> pods_of_name;  // how many have had the name
  std::atomic<int> reading{0};
  std::list<std::jthread> threads;
  // Whatever ends this, the readers end with it; a quiet pod's would wait for its next line.
  std::stop_source over;
  const std::stop_callback on_asked(asked, [&] { over.request_stop(); });
  const std::stop_token stop = over.get_token();
  const RequestStop on_return{over};
  for (;;) {
    MUSTER_ASSIGN(const std::vector<PodView> pods, find_pods(reader));
    for (const PodView& pod : pods) {
      if (pod.phase == "Pending" || pod.phase.empty() || !started.insert(pod.uid).second) continue;
      ++reading;
      if (++pods_of_name[pod.name] > 1)
        print_error(fmt::format("{} goes on in a new pod {}", title_of(pod, reader.options), pod.name));
      const std::string prefix =
          prefix_of(pod, reader.options, reader.options.pod.empty() && !reader.options.rank ? 2 : 1);
      threads.emplace_back([&, pod, prefix] {
        const Status ended = read_log(reader, pod, prefix, stop);
        if (!ended && ended.error().code != Code::kCancelled && ended.error().code != Code::kNotFound) {
          print_error(explain_log(reader.options, pod, ended.error()).message);
        }
        --reading;
      });
    }
    bool finished = pods.empty();
    const bool known = is_job(reader, &finished);
    if (stop.stop_requested() || is_broken(reader)) return {};
    if (reading == 0 && (finished || !known || !reader.options.pod.empty())) return {};
    for (int i = 0; i < 5 && !stop.stop_requested(); ++i)
      std::this_thread::sleep_for(100ms);  // new pods are rare
  }
}

// There may be pods later: of a job that goes on, unless it has no such rank.
bool will_come(Reader& reader) {
  const auto job = find_job(reader);
  return job && !view_job(*job).finished() &&
         may_have_pod(*job, {.rank = reader.options.rank, .role = reader.options.role});
}

Status read_all(Reader& reader) {
  MUSTER_ASSIGN(const std::vector<PodView> pods, find_pods(reader));
  if (pods.empty()) return no_pods(reader);
  Status first_error;
  bool any = false;
  for (const PodView& pod : pods) {
    const Status ended =
        read_log(reader, pod, prefix_of(pod, reader.options, pods.size()), std::stop_token());
    any = any || ended.has_value();
    if (!ended && first_error) first_error = explain_log(reader.options, pod, ended.error());
  }
  return any ? Status() : first_error;
}

}  // namespace

int logs(const LogsOptions& options) {
  const auto fail = [](const Error& error) {
    print_error(error.message);
    return exit_code_of(error);
  };
  std::string name = options.name;
  if (const auto parts = split_slash(name)) {
    if (const auto resource = find_resource(parts->kind); !resource) return fail(resource.error());
    name = parts->name;
  }
  SignalWaiter signals;
  auto connection = connect(options.query);
  if (!connection) return fail(connection.error());
  const std::string ns =
      options.query.name_space.empty() ? connection->default_namespace : options.query.name_space;
  Reader reader{*connection->client, options, ns, name};
  std::stop_source stop;
  const std::jthread on_signal([&](const std::stop_token& over) {
    while (!over.stop_requested()) {
      if (!signals.wait(100ms)) continue;
      stop.request_stop();
      if (!options.follow) ::_exit(kExitInterrupted);  // plain reading has nothing to tidy up
    }
  });
  Status ended;
  if (options.follow) {
    auto pods = find_pods(reader);
    if (pods && pods->empty() && !will_come(reader)) {
      ended = no_pods(reader);
    } else {
      ended = pods ? follow_all(reader, stop.get_token()) : Status(pods.error());
    }
  } else {
    ended = read_all(reader);
  }
  if (stop.stop_requested()) return kExitInterrupted;
  const MutexLock lock(reader.mutex);
  return ended ? finish(reader.out) : fail(explain(ended.error(), connection->server));
}

}  // namespace muster::cli
