// cli/main.cc: `muster`: arguments in, one verb called
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "cli/completion.h"
#include "cli/console.h"
#include "cli/convert_verb.h"
#include "cli/describe.h"
#include "cli/did_you_mean.h"
#include "cli/exit_code.h"
#include "cli/get.h"
#include "cli/history.h"
#include "cli/local_up.h"
#include "cli/logs.h"
#include "cli/plot_verb.h"
#include "cli/resources.h"
#include "cli/run.h"
#include "cli/status.h"
#include "cli/version.h"
#include "common/base/text.h"
#include "common/platform/log.h"

namespace muster::cli {
namespace {

struct Arguments {
  RunOptions run;
  std::string run_output = "text";
  std::int64_t timeout_seconds = 0;
  GetOptions get;
  LogsOptions logs;
  std::int64_t rank = -1;
  std::int64_t tail = -1;
  DescribeOptions describe;
  StatusOptions status;   // of status, top, audit, suspend and resume
  std::string described;  // "dj" or "dj/ring"
  PlotOptions plot;
  LocalUpOptions local;
  std::string feature_gates;
  ConvertOptions convert;
  HistoryOptions history;
  VersionOptions version;
  std::string version_output = "text";
  std::string shell;
};

void add_server(CLI::App& verb, QueryOptions& query) {
  verb.add_option("--kubeconfig", query.kubeconfig,
                  "kubeconfig file; else $KUBECONFIG, the running `muster local up`, or ~/.kube/config");
  verb.add_option("--context", query.context, "context of the kubeconfig; else its current one");
  verb.add_option("--cluster", query.cluster, "cluster of the kubeconfig; else the context's");
  verb.add_option("--user", query.user, "user of the kubeconfig; else the context's");
}

void add_query(CLI::App& verb, QueryOptions& query) {
  add_server(verb, query);
  verb.add_option("-n,--namespace", query.name_space, "namespace; else the kubeconfig's");
}

void add_run(CLI::App& app, Arguments& args) {
  CLI::App* verb = app.add_subcommand("run", "Run the jobs of manifests on this machine, from start to end");
  verb->add_option("FILE", args.run.files, "YAML files, several documents each; - is standard input")
      ->required();
  verb->add_option("-o,--output", args.run_output,
                   "text, or json: one document on stdout, progress on stderr")
      ->check(CLI::IsMember({"text", "json"}));
  verb->add_option("--output-dir", args.run.output_dir, "volumes, models and plots go there (muster-out)");
  verb->add_option("--timeout", args.timeout_seconds, "seconds after which to give up")
      ->check(CLI::Range(1L, 31'536'000L));
  verb->add_flag("-v,--verbose", args.run.verbose, "show events, and the kubeconfig of the run");
}

void add_get(CLI::App& app, Arguments& args) {
  CLI::App* verb = app.add_subcommand("get", "List jobs, pods and other objects");
  verb->add_option("KIND", args.get.kind, "dj, fr, pods, ... ; jobs of both kinds when absent");
  verb->add_option("NAME", args.get.name, "one object");
  add_query(*verb, args.get.query);
  verb->add_option("-o,--output", args.get.output, "table, json, yaml or name")
      ->check(CLI::IsMember({"table", "json", "yaml", "name"}));
  verb->add_option("-l,--selector", args.get.selector, "label selector");
  verb->add_flag("-A,--all-namespaces", args.get.all_namespaces, "of all namespaces");
  verb->add_flag("-w,--watch", args.get.watch, "go on and show every change");
}

void add_logs(CLI::App& app, Arguments& args) {
  CLI::App* verb = app.add_subcommand("logs", "Show what the pods of a job say");
  verb->add_option("NAME", args.logs.name, "a job (ring or dj/ring), or a pod")->required();
  add_query(*verb, args.logs.query);
  verb->add_flag("-f,--follow", args.logs.follow, "go on until the job has finished");
  verb->add_option("--rank", args.rank, "only the worker of this rank, or the aggregator")
      ->check(CLI::Range(0L, 1'000'000L));
  verb->add_flag("--all-ranks", args.logs.all_ranks, "all workers, each line behind its [rank 2]")
      ->excludes("--rank");
  verb->add_option("--role", args.logs.role,
                   "worker, server, aggregator or client: only these pods; --rank counts among them")
      ->check(CLI::IsMember({"worker", "server", "aggregator", "client"}))
      ->excludes("--all-ranks");
  verb->add_option("--pod", args.logs.pod, "only this pod")->excludes("--rank", "--all-ranks", "--role");
  verb->add_flag("-p,--previous", args.logs.previous,
                 "of the container before its restart in the same pod, if it had one")
      ->excludes("--follow");
  verb->add_option("-c,--container", args.logs.container,
                   "of the pods; else the one that does the job's work");
  verb->add_option("--tail", args.tail, "only the last lines")->check(CLI::Range(0L, 1'000'000'000L));
}

void add_describe(CLI::App& app, Arguments& args) {
  CLI::App* verb = app.add_subcommand("describe", "Show one object with its conditions, pods and events");
  verb->add_option("KIND", args.described, "dj, fr, pod, ...; or KIND/NAME")->required();
  verb->add_option("NAME", args.describe.name, "the object");
  add_query(*verb, args.describe.query);
}

void add_status(CLI::App& app, Arguments& args) {
  const auto add = [&](const char* name, const char* what) {
    CLI::App* verb = app.add_subcommand(name, what);
    add_query(*verb, args.status.query);
    return verb;
  };
  CLI::App* status =
      add("status", "Show jobs as trees: progress, membership, pods and what is wrong with them");
  status->add_option("NAME", args.status.name, "one job (ring or dj/ring); all when absent");
  CLI::App* top = add("top", "Show the jobs that have not ended, the fastest first");
  for (CLI::App* verb : {status, top})
    verb->add_flag("-A,--all-namespaces", args.status.all_namespaces, "of all namespaces");
  add("audit", "Show how often the examples of each epoch counted; exit code 1 where it was not once each")
      ->add_option("NAME", args.status.name, "ring or dj/ring")
      ->required();
  for (CLI::App* verb : {add("suspend", "Pause a job: its pods end, its checkpoint stays"),
                         add("resume", "Let a suspended job go on from its checkpoint")})
    verb->add_option("NAME", args.status.name, "ring or dj/ring")->required();
}

void add_rest(CLI::App& app, Arguments& args) {
  CLI::App* plot = app.add_subcommand("plot", "Draw a learning curve as SVG");
  plot->add_option("SOURCE", args.plot.source, "a history.csv, or a job as dj/NAME")->required();
  plot->add_option("-o,--output", args.plot.output, "SVG file; - is standard output");
  plot->add_option("--title", args.plot.title, "another title");
  add_query(*plot, args.plot.query);

  CLI::App* history = app.add_subcommand("history", "List jobs that have ended, also those that are gone");
  history->add_option("NAME", args.history.name,
                      "of one job (ring or dj/ring), all its runs; of all when absent");
  add_query(*history, args.history.query);
  history->add_flag("-A,--all-namespaces", args.history.all_namespaces, "of all namespaces");
  history->add_option("-o,--output", args.history.output, "table, wide, json or yaml")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml"}));

  CLI::App* convert = app.add_subcommand(
      "convert",
      "Print PyTorchJobs, TrainJobs and MPIJobs as DistributedJobs, with a comment at what has no equal");
  convert->add_option("FILE", args.convert.files, "YAML or JSON, several documents each; - is standard input")
      ->required();

  CLI::App* local = app.add_subcommand("local", "Kubernetes API, node and operator on this machine");
  local->require_subcommand(1);
  CLI::App* up = local->add_subcommand("up", "Serve them in the foreground until Ctrl-C");
  up->add_option("--port", args.local.port, "port of the API; a free one when absent or 0")
      ->check(CLI::Range(0, 65535));
  up->add_option("--output-dir", args.local.output_dir, "volumes go there (muster-out)");
  up->add_option("--audit-log", args.local.audit_log,
                 "file to which who asked the API for what is added, in the form of Kubernetes' audit log");
  up->add_option("--feature-gates", args.feature_gates,
                 "of the API server: WatchList=true serves sendInitialEvents")
      ->check(CLI::IsMember({"WatchList=true", "WatchList=false"}));
  up->add_flag("--no-operator{false}", args.local.run_operator,
               "the API and the node alone: install the operator yourself, as on a cluster");

  CLI::App* version = app.add_subcommand("version", "Show the versions of this program and of the server");
  version->add_flag("--client", args.version.client_only, "do not ask the server");
  version->add_option("-o,--output", args.version_output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  add_server(*version, args.version.query);

  CLI::App* completion = app.add_subcommand("completion", "Print completion for a shell");
  completion->add_option("SHELL", args.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

int usage(const std::string& message) {
  print_error(message);
  return kExitUsage;
}

// Of "muster rnu": CLI11 would say that a subcommand is required. "" if the command is known or none is
// given.
std::string unknown_command(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty() || words.front().starts_with('-') || app.get_require_subcommand_min() == 0) return "";
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == words.front())
      return unknown_command(*command, {words.begin() + 1, words.end()});
    known.push_back(command->get_name());
  }
  const std::string nearest = nearest_word(words.front(), known);
  return fmt::format("unknown command '{}'; {}; the commands are {}", printable(words.front()),
                     nearest.empty() ? "see `muster --help`" : fmt::format("did you mean '{}'?", nearest),
                     fmt::join(known, ", "));
}

int call_get(Arguments& args) {
  if (const auto parts = split_slash(args.get.kind)) {
    if (!args.get.name.empty()) return usage("give either KIND/NAME or KIND NAME");
    args.get.kind = parts->kind;
    args.get.name = parts->name;
  }
  if (!args.get.name.empty() && args.get.all_namespaces) {
    return usage("one object is in one namespace; use -n instead of -A");
  }
  if (args.get.watch && (args.get.kind.empty() || is_category(args.get.kind))) {
    return usage("a watch follows one kind; use `muster get dj -w` or `muster get fr -w`");
  }
  return get(args.get);
}

int call_describe(Arguments& args) {
  args.describe.kind = args.described;
  if (const auto parts = split_slash(args.described); parts && args.describe.name.empty()) {
    args.describe.kind = parts->kind;
    args.describe.name = parts->name;
  }
  if (args.describe.name.empty()) return usage("describe needs a name: muster describe dj NAME");
  return describe(args.describe);
}

int call_status(const CLI::App& app, const Arguments& args) {
  if (!args.status.name.empty() && args.status.all_namespaces)
    return usage("one object is in one namespace; use -n instead of -A");
  if (app.got_subcommand("status")) return status(args.status);
  if (app.got_subcommand("top")) return top(args.status);
  if (app.got_subcommand("audit")) return audit(args.status);
  return suspend(args.status, app.got_subcommand("suspend"));
}

int call_completion(const Arguments& args) {
  const auto script = completion_script(args.shell);
  if (!script) return usage(script.error().message);
  Console out(Console::Stream::kOut);
  out.write(*script);
  return finish(out);
}

int call(const CLI::App& app, Arguments& args) {
  if (app.got_subcommand("run")) {
    args.run.json = args.run_output == "json";
    if (args.timeout_seconds > 0) args.run.timeout = std::chrono::seconds(args.timeout_seconds);
    return run(args.run);
  }
  if (app.got_subcommand("get")) return call_get(args);
  if (app.got_subcommand("logs")) {
    if (args.rank >= 0) args.logs.rank = args.rank;
    if (args.tail >= 0) args.logs.tail_lines = args.tail;
    return logs(args.logs);
  }
  if (app.got_subcommand("describe")) return call_describe(args);
  for (const char* verb : {"status", "top", "audit", "suspend", "resume"})
    if (app.got_subcommand(verb)) return call_status(app, args);
  if (app.got_subcommand("plot")) return plot(args.plot);
  if (app.got_subcommand("history")) return history(args.history);
  if (app.got_subcommand("convert")) return convert(args.convert);
  if (app.got_subcommand("local")) {
    args.local.watch_list = args.feature_gates == "WatchList=true";
    return local_up(args.local);
  }
  if (app.got_subcommand("completion")) return call_completion(args);
  args.version.json = args.version_output == "json";
  return version(args.version);
}

}  // namespace
}  // namespace muster::cli

int main(int argc, char** argv) try {
  using namespace muster::cli;
  muster::init_log("muster", "warning");  // stdout belongs to the answer
  CLI::App app("Distributed and federated training on Kubernetes, or on this machine alone", "muster");
  app.set_version_flag("--version", std::string("muster ") + MUSTER_VERSION);
  app.require_subcommand(1);
  Arguments args;
  add_run(app, args);
  add_get(app, args);
  add_logs(app, args);
  add_describe(app, args);
  add_status(app, args);
  add_rest(app, args);
  if (const std::string problem = unknown_command(app, {argv + 1, argv + argc}); !problem.empty())
    return usage(problem);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitUsage;
  }
  return call(app, args);
} catch (const std::exception& error) {
  std::fprintf(stderr, "muster: %s\n", error.what());
  return muster::cli::kExitFailed;
}
