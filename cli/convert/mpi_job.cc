// cli/convert/mpi_job.cc: MPIJob, kubeflow.org/v2beta1
#include <fmt/format.h>

#include <algorithm>

#include "cli/convert/kinds.h"
#include "cli/convert/pod_template.h"
#include "cli/convert/run_policy.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

constexpr const char* kLauncher = "/spec/mpiReplicaSpecs/Launcher";
constexpr const char* kWorker = "/spec/mpiReplicaSpecs/Worker";
constexpr const char* kMain = "/template/spec/containers/0";  // Kubeflow, too, counts on the first
constexpr const char* kKeysVolume = "mpi-ssh-keys";
constexpr const char* kRootsFolder = "/root/.ssh";
constexpr std::int64_t kWorkersMax = 1000;

struct Implementation {  // how one line of its file of hosts is written, and the variables that it reads
  const char* line;
  const char* exports;
};

// Kubeflow sets the same.
Implementation implementation_of(Conversion& conversion) {
  const std::string at = "/spec/mpiImplementation";
  const std::string name = conversion.string(at).value_or("OpenMPI");
  if (name == "Intel")
    return {"%s:%s\\n",
            "export I_MPI_HYDRA_HOST_FILE=\"$hosts\" I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS='-o "
            "ConnectionAttempts=10' I_MPI_PERHOST=\"$LOCAL_WORLD_SIZE\""};
  if (name == "MPICH")
    return {"%s:%s\\n",
            "export HYDRA_HOST_FILE=\"$hosts\" HYDRA_LAUNCH_EXTRA_ARGS='-o ConnectionAttempts=10'"};
  if (name != "OpenMPI") conversion.fail(at, fmt::format("must be OpenMPI, Intel or MPICH, is {}", name));
  return {"%s slots=%s\\n",
          "export OMPI_MCA_orte_default_hostfile=\"$hosts\" OMPI_MCA_orte_keep_fqdn_hostnames=true "
          "OMPI_MCA_plm_rsh_args='-o ConnectionAttempts=10' "
          "OMPI_MCA_orte_set_default_slots=\"$LOCAL_WORLD_SIZE\""};
}

std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-./=:,+@%") == std::string::npos;
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string command_line(const Json& container) {
  std::string out;
  for (const char* list : {"command", "args"})
    for (const Json& word : member(container, list)) out += (out.empty() ? "" : " ") + quoted(text(word));
  return out;
}

std::string script(const std::string& serve, const Implementation& mpi) {
  return fmt::format(
      "# Worker 0 starts the program by mpirun; the others serve it by sshd until it has ended.\n"
      "if [ \"$NODE_RANK\" != 0 ]; then exec {0}; fi\n"
      "hosts=${{TMPDIR:-/tmp}}/hostfile\n"
      ": > \"$hosts\"\n"
      "i=0\n"
      "while [ \"$i\" -lt \"$PET_NNODES\" ]; do\n"
      "  host=$MUSTER_JOB_NAME-worker-$i.$MUSTER_JOB_NAME\n"
      "  printf '{1}' \"$host\" \"$LOCAL_WORLD_SIZE\" >> \"$hosts\"\n"
      "  until [ \"$i\" = 0 ] || ssh -o StrictHostKeyChecking=no -o ConnectTimeout=2 \"$host\" true; do "
      "sleep 1; done\n"
      "  i=$((i + 1))\n"
      "done\n"
      "{2}\n"
      "exec \"$@\"\n",
      serve, mpi.line, mpi.exports);
}

// Both containers' variables are those of every worker.
void merge_env(Conversion& conversion) {
  const std::string from = kLauncher + std::string(kMain) + "/env";
  conversion.must_be_array(from);
  const Json env = conversion.see(from);
  for (std::size_t i = 0; i < env.size(); ++i) {
    Json& container = conversion.out(below(kContainers, std::size_t{0}));
    Json& known = container["env"];
    if (!known.is_array()) known = Json::array();
    const auto same = std::find_if(known.begin(), known.end(), [&](const Json& variable) {
      return text_at(variable, "name") == text_at(env[i], "name");
    });
    if (same != known.end() && *same != env[i]) continue;  // told with what else differs
    if (same == known.end()) known.push_back(env[i]);
    (void)conversion.take(below(from, i));
  }
  if (Json& container = conversion.out(below(kContainers, std::size_t{0})); container["env"].empty())
    container.erase("env");
}

void convert_programs(Conversion& conversion) {
  const std::string from = kLauncher + std::string(kMain);
  Json argv = Json::array();
  for (const char* list : {"/command", "/args"}) {
    conversion.must_be_array(from + list);
    for (const Json& word : conversion.take(from + list)) argv.push_back(word);
  }
  if (conversion.see(from + "/command").empty())
    return conversion.fail(from + "/command",
                           "is missing: what is started is known to the image alone; write its mpirun here");
  Json& container = conversion.out(below(kContainers, std::size_t{0}));
  std::string serve = command_line(container);
  if (serve.empty()) serve = "/usr/sbin/sshd -De";
  container["command"] =
      Json::array({"/bin/sh", "-c", script(serve, implementation_of(conversion)), "mpirun"});
  container["args"] = std::move(argv);
  const std::string at = below(kContainers, std::size_t{0}) + "/args";
  conversion.say(at, "What the launcher ran. There is no launcher's pod: worker 0 runs it, and takes part.");
  const auto slots = conversion.integer("/spec/slotsPerWorker");
  conversion.out("/spec/workers/processesPerNode") = slots.value_or(1);
  if (slots && (*slots < 1 || *slots > 1024))
    conversion.fail("/spec/slotsPerWorker", fmt::format("is {}; a worker has 1 to 1024 processes", *slots));
}

void mount_keys(Conversion& conversion, const std::string& secret) {
  const std::string folder = conversion.string("/spec/sshAuthMountPath").value_or(kRootsFolder);
  const auto item = [](const char* key, const char* path) { return Json{{"key", key}, {"path", path}}; };
  Json& spec = conversion.out(std::string(kTemplate) + "/spec");
  Json keys = {{"secretName", secret},
               {"items", Json::array({item("ssh-privatekey", "id_rsa"), item("ssh-publickey", "id_rsa.pub"),
                                      item("ssh-publickey", "authorized_keys")})}};
  // ssh refuses a key of its own user that others may read. The files are root's: another user could not read
  // them at all.
  if (folder == kRootsFolder) keys["defaultMode"] = 0600;
  spec["volumes"].push_back({{"name", kKeysVolume}, {"secret", std::move(keys)}});
  spec["containers"][0]["volumeMounts"].push_back({{"name", kKeysVolume}, {"mountPath", folder}});
}

void convert_replicas(Conversion& conversion) {
  const std::int64_t workers = conversion.integer(kWorker + std::string("/replicas")).value_or(0);
  const auto launchers = conversion.integer(kLauncher + std::string("/replicas"));
  const bool takes_part = conversion.boolean("/spec/runLauncherAsWorker").value_or(false);
  const std::int64_t count = workers + (takes_part ? 1 : 0);
  conversion.out("/spec/workers/replicas") = count;
  if (workers < 1 || count > kWorkersMax)
    conversion.fail(
        kWorker + std::string("/replicas"),
        fmt::format("is {}; a DistributedJob needs 1 to {} workers to start from", workers, kWorkersMax));
  if (launchers)
    conversion.say_of(kLauncher + std::string("/replicas"), *launchers, "/spec/workers/replicas",
                      "Worker 0 is the launcher.");
  if (takes_part)
    conversion.say_of("/spec/runLauncherAsWorker", true, "/spec/workers/replicas", "One worker more.");
}

void drop_launcher(Conversion& conversion) {
  const std::string from = kLauncher + std::string("/template");
  const Json& taken = conversion.see(kWorker + std::string("/template"));
  const Json& theirs = conversion.see(from);
  // What is the same there and here is in the output.
  const std::string image = kLauncher + std::string(kMain) + "/image";
  if (conversion.see(image) == conversion.see(kWorker + std::string(kMain) + "/image"))
    (void)conversion.take(image);
  for (const auto& [key, value] : member(theirs, "spec").items())
    if (value == member(taken, "spec", key.c_str())) (void)conversion.take(below(from + "/spec", key));
  for (const auto& [key, value] : conversion.see(kLauncher + std::string(kMain)).items())
    if (value == member(conversion.see(kWorker + std::string(kMain)), key))
      (void)conversion.take(below(kLauncher + std::string(kMain), key));
  if (member(theirs, "metadata") == member(taken, "metadata")) (void)conversion.take(from + "/metadata");
  conversion.drop(
      from, kTemplate,
      "Of the launcher's pod, which there is no more; the workers' template was taken. Add here what "
      "its program needs.");
  conversion.drop(kLauncher + std::string("/restartPolicy"), "/spec/runPolicy",
                  "If mpirun fails, all workers are restarted, maxRestarts times (3 when absent).");
  conversion.drop(kWorker + std::string("/restartPolicy"), "/spec/runPolicy",
                  "A worker that is lost restarts all, as mpirun cannot go on without it.");
}

}  // namespace

std::string convert_mpi_job(Conversion& conversion) {
  convert_metadata(conversion);
  for (const char* map : {"/spec/mpiReplicaSpecs", kLauncher, kWorker}) conversion.must_be_object(map);
  for (const char* role : {kLauncher, kWorker})
    if (conversion.see(role).is_null())
      conversion.fail(role, "is missing: only a launcher with workers is converted");
  convert_run_policy(conversion, "kubeflow.org/mpi-operator");
  convert_replicas(conversion);
  take_template(conversion, kWorker + std::string("/template"));
  if (!conversion.has(kContainers)) return "";
  const std::string secret = name_of_job(conversion) + "-ssh";
  merge_env(conversion);
  convert_programs(conversion);
  mount_keys(conversion, secret);
  drop_launcher(conversion);
  conversion.drop("/spec/launcherCreationPolicy", kTemplate,
                  "Worker 0 waits until all others can be reached.");
  conversion.out("/spec/successPolicy") = "Rank0";
  conversion.say("/spec/successPolicy",
                 "The job has succeeded when mpirun has; the others serve sshd until then.");
  fit_template(conversion, kWorker + std::string("/template"), 0);
  const std::string make = fmt::format(
      "kubectl create secret generic {} --from-file=ssh-privatekey=id_rsa "
      "--from-file=ssh-publickey=id_rsa.pub",
      secret);
  conversion.say(
      std::string(kTemplate) + "/spec/volumes",
      fmt::format("No keys are made for mpirun. Make them once: ssh-keygen -N '' -t rsa -f id_rsa; {}",
                  make));
  return "mpirun needs keys: " + make;
}

}  // namespace muster::cli
