// cli/convert/pytorch_job.cc: PyTorchJob, kubeflow.org/v1
#include <fmt/format.h>

#include <algorithm>

#include "cli/convert/kinds.h"
#include "cli/convert/pod_template.h"
#include "cli/convert/run_policy.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

constexpr const char* kReplicas = "/spec/pytorchReplicaSpecs";
constexpr const char* kWorkers = "/spec/workers/replicas";
constexpr std::int64_t kWorkersMax = 1000;
constexpr std::int64_t kMasterPort = 29500;  // of DistributedJob, unless it says otherwise
constexpr const char* kContainer = "pytorch";
constexpr const char* kPort = "pytorchjob-port";

struct Replicas {
  std::string at;  // where they are, "" if there are none
  std::int64_t count = 0;
};

// Kubeflow takes the names in any case.
Replicas find_replicas(Conversion& conversion, std::string_view type) {
  for (const auto& [key, value] : conversion.see(kReplicas).items()) {
    const bool same =
        key.size() == type.size() && std::equal(key.begin(), key.end(), type.begin(),
                                                [](char a, char b) { return (a | 0x20) == (b | 0x20); });
    if (!same || value.is_null()) continue;
    const std::string at = below(kReplicas, key);
    conversion.must_be_object(at);
    return {at, conversion.integer(at + "/replicas").value_or(1)};
  }
  return {};
}

// What `theirs`, the item `index` of a list, is to be compared with: of containers, variables and volumes,
// the one of the same name.
const Json& counterpart(const Json& theirs, std::size_t index, const Json& taken) {
  static const Json kNothing;
  const Json& name = member(theirs, "name");
  const auto same = std::find_if(taken.begin(), taken.end(),
                                 [&name](const Json& item) { return member(item, "name") == name; });
  if (!name.is_null()) return same == taken.end() ? kNothing : *same;
  return index < taken.size() ? taken[index] : kNothing;
}

// What is the same in both templates is in the output.
void take_same(Conversion& conversion, const std::string& from, const Json& theirs, const Json& taken) {
  if (theirs.is_null() || theirs == taken) {
    (void)conversion.take(from);
    return;
  }
  if (theirs.is_object() && taken.is_object() && !theirs.empty()) {
    for (const auto& [key, value] : theirs.items())
      take_same(conversion, below(from, key), value, member(taken, key));
  } else if (theirs.is_array() && taken.is_array() && !theirs.empty()) {
    for (std::size_t i = 0; i < theirs.size(); ++i)
      take_same(conversion, below(from, i), theirs[i], counterpart(theirs[i], i, taken));
  }
}

void convert_replicas(Conversion& conversion, const Replicas& master, const Replicas& worker) {
  const std::int64_t count = master.count + worker.count;
  conversion.out(kWorkers) = count;
  if (count < 0 || count > kWorkersMax || master.count < 0 || worker.count < 0)
    conversion.fail(kReplicas, fmt::format("makes {} replicas; a DistributedJob has 0 to {} workers", count,
                                           kWorkersMax));
  if (!master.at.empty() && !worker.at.empty())
    conversion.say(kWorkers,
                   fmt::format("{}.replicas: {}, the first of which is rank 0, and {}.replicas: {}.",
                               dotted(master.at), master.count, dotted(worker.at), worker.count));
}

void convert_templates(Conversion& conversion, const Replicas& master, const Replicas& worker) {
  const bool of_worker = worker.count > 0 || master.at.empty();
  const Replicas& taken = of_worker ? worker : master;
  const Replicas& other = of_worker ? master : worker;
  const std::string from = taken.at + "/template";
  take_template(conversion, from);
  if (!conversion.has(kContainers)) return;
  if (!other.at.empty()) {
    const std::string others = other.at + "/template";
    take_same(conversion, others, conversion.see(others), conversion.see(from));
    conversion.drop(
        others, kTemplate,
        fmt::format("Differs from the {0}'s template; all workers of a DistributedJob have one, and "
                    "that of the {0} was taken. Where only rank 0 needs it, let the program ask for "
                    "RANK, or give it to all.",
                    of_worker ? "Worker" : "Master"));
    if (conversion.see(other.at + "/restartPolicy") == conversion.see(taken.at + "/restartPolicy")) {
      (void)conversion.take(other.at + "/restartPolicy");
    } else {
      conversion.drop(other.at + "/restartPolicy", "/spec/runPolicy",
                      "All workers are restarted by one policy, that of the template that was taken.");
    }
  }
  convert_restart_policy(conversion, taken.at, "OnFailure");
  const std::size_t role = container_named(conversion, kContainer);
  add_variable(conversion.out(below(kContainers, role)), "PYTHONUNBUFFERED", "1");  // as Kubeflow does
  for (const Json& port : member(conversion.out(below(kContainers, role)), "ports"))
    if (const std::int64_t number = integer_at(port, "containerPort");
        text_at(port, "name") == kPort && number != kMasterPort && number >= 1 && number <= 65535)
      conversion.out("/spec/workers/masterPort") = number;
  fit_template(conversion, from, role);
}

void convert_processes(Conversion& conversion) {
  const char* const to = "/spec/workers/processesPerNode";
  conversion.move_integer("/spec/elasticPolicy/nProcPerNode", to, {.min = 1, .max = 1024});
  const auto told = conversion.string("/spec/nprocPerNode");
  if (!told || told->empty()) return;
  if (told->size() <= 4 && told->find_first_not_of("0123456789") == std::string::npos && *told != "0") {
    conversion.out(to) = std::stoll(*told);
    return;
  }
  std::string why = "Has no equal; set workers.processesPerNode to the number.";
  if (*told == "gpu" || *told == "auto")
    why =
        "Without workers.processesPerNode it is one process for each GPU in the container's limits, else "
        "one.";
  conversion.say_of("/spec/nprocPerNode", *told, "/spec/workers", why);
}

// torchrun reads them itself.
void convert_rendezvous(Conversion& conversion, Json& container, const std::string& name) {
  const std::string from = "/spec/elasticPolicy";
  const auto set = [&](const char* variable, const std::string& value) {
    set_variable(conversion, container, {{"name", variable}, {"value", value}});
  };
  set("PET_RDZV_BACKEND", conversion.string(from + "/rdzvBackend").value_or("c10d"));
  const auto host = conversion.string(from + "/rdzvHost");
  const auto port = conversion.integer(from + "/rdzvPort");
  const bool theirs = host && (*host == name + "-worker-0" || *host == name + "-master-0");
  if (theirs)
    conversion.say_of(from + "/rdzvHost", *host, "/spec/workers/template",
                      "A Service of Kubeflow's; here rank 0 is found by MASTER_ADDR.");
  set("PET_RDZV_ENDPOINT", fmt::format("{}:{}", host && !theirs ? *host : "$(MASTER_ADDR)",
                                       port ? std::to_string(*port) : "$(MASTER_PORT)"));
  if (const auto id = conversion.string(from + "/rdzvId")) set("PET_RDZV_ID", *id);
  std::string pairs;
  conversion.must_be_array(from + "/rdzvConf");
  for (std::size_t i = 0; i < conversion.see(from + "/rdzvConf").size(); ++i) {
    const std::string at = below(from + "/rdzvConf", i);
    const auto key = conversion.string(at + "/key");
    const auto value = conversion.string(at + "/value");
    pairs += fmt::format("{}{}={}", pairs.empty() ? "" : ",", key.value_or(""), value.value_or(""));
  }
  if (!pairs.empty()) set("PET_RDZV_CONF", pairs);
  if (const auto alone = conversion.boolean(from + "/standalone")) {
    if (*alone) set("PET_STANDALONE", "");
    conversion.say_of(from + "/standalone", *alone, "/spec/workers/template", "By PET_STANDALONE, if true.");
  }
}

void convert_elastic_policy(Conversion& conversion) {
  const std::string from = "/spec/elasticPolicy";
  conversion.must_be_object(from);
  if (!conversion.see(from).is_object() || !conversion.has(kContainers)) return;
  const std::string name = text(conversion.see("/metadata/name"));
  Json& container = conversion.out(below(kContainers, container_named(conversion, kContainer)));
  convert_rendezvous(conversion, container, name);
  if (const auto restarts = conversion.integer(from + "/maxRestarts"))
    set_variable(conversion, container, {{"name", "PET_MAX_RESTARTS"}, {"value", std::to_string(*restarts)}});
  for (const char* bound : {"/minReplicas", "/maxReplicas"})
    conversion.drop(
        from + bound, kWorkers,
        "Workers are not added and taken away within bounds: torchrun is told replicas as its number "
        "of nodes. `kubectl scale` changes it, and all workers meet anew.");
  conversion.drop(from + "/metrics", kWorkers,
                  "No HorizontalPodAutoscaler is made. Make one whose scaleTargetRef is this DistributedJob "
                  "(muster.dev/v1alpha1); it has the subresource scale.");
}

// With a Master, the job has succeeded when that has; the workers may run on.
void convert_success(Conversion& conversion, const Replicas& master) {
  if (master.at.empty() || master.count < 1) return;
  conversion.out("/spec/successPolicy") = "Rank0";
  conversion.say("/spec/successPolicy",
                 "As with Kubeflow: the job has succeeded when its master, rank 0, has.");
}

// Names that only Kubeflow's Services give.
void tell_service_names(Conversion& conversion, const std::string& name) {
  if (name.empty() || !conversion.has(kContainers)) return;
  const std::string written = conversion.out(kTemplate).dump(-1, ' ', false, Json::error_handler_t::replace);
  for (const char* suffix : {"-master-0", "-worker-0"}) {
    if (written.find(name + suffix) == std::string::npos) continue;
    conversion.say(kTemplate,
                   fmt::format("{0}{1} is named below: that is a Service of Kubeflow's. Here rank 0 is "
                               "$(MASTER_ADDR), and worker N is {2}-worker-N.{2}.",
                               name, suffix, text(conversion.out("/metadata/name"))));
  }
}

}  // namespace

void convert_pytorch_job(Conversion& conversion) {
  convert_metadata(conversion);
  convert_run_policy(conversion, "kubeflow.org/training-operator");
  conversion.must_be_object(kReplicas);
  const Replicas master = find_replicas(conversion, "Master");
  const Replicas worker = find_replicas(conversion, "Worker");
  if (master.at.empty() && worker.at.empty())
    return conversion.fail(kReplicas, "has neither Master nor Worker, so that there is no pod to run");
  convert_replicas(conversion, master, worker);
  conversion.must_be_object("/spec/elasticPolicy");
  convert_processes(conversion);
  convert_templates(conversion, master, worker);
  convert_elastic_policy(conversion);
  convert_success(conversion, master);
  tell_service_names(conversion, text(conversion.see("/metadata/name")));
}

}  // namespace muster::cli
