#pragma once  // pod/pod_contract.h: what the operator puts into a pod and Muster's programs rely on
              // (ARCHITECTURE.md, "The pod contract"): constants only, no I/O, so that the operator's core
              // may include it

namespace muster {

inline constexpr int kControlPort = 8470;  // gRPC: muster.control.v1.Agent
inline constexpr int kDataPort = 8471;     // worker: data connections; aggregator: gRPC federation service
inline constexpr int kMetricsPort = 8472;  // HTTP: /metrics /healthz /readyz

// Exit codes of worker, aggregator and device; the operator restarts on every other non-zero code.
inline constexpr int kExitInvalid = 65;   // spec or data cannot work (bad file, NaN loss): not retried
inline constexpr int kExitStorage = 74;   // cannot read or write a model or checkpoint: not retried
inline constexpr int kExitRetry = 75;     // a peer was lost or a wait ran out: a restart may help
inline constexpr int kExitStopped = 143;  // 128 + SIGTERM: it was asked to stop
// Before the last words of a program of the user's own when Muster has ended its training: without it the
// exit codes above are the program's, and mean what it likes. Nobody prints it: a kubelet takes the end of a
// log for last words where a program wrote none, and there Muster's own tools begin lines with "muster: ".
inline constexpr const char* kEndingWord = "muster.dev/ending: ";

inline constexpr const char* kPodNameVariable = "MUSTER_POD_NAME";
inline constexpr const char* kPodUidVariable = "MUSTER_POD_UID";
inline constexpr const char* kPodIpVariable = "MUSTER_POD_IP";
inline constexpr const char* kJobNameVariable = "MUSTER_JOB_NAME";
inline constexpr const char* kJobUidVariable = "MUSTER_JOB_UID";
inline constexpr const char* kIncarnationVariable = "MUSTER_INCARNATION";
inline constexpr const char* kRoleVariable = "MUSTER_ROLE";
inline constexpr const char* kIndexVariable = "MUSTER_INDEX";
inline constexpr const char* kTerminationLogVariable = "MUSTER_TERMINATION_LOG";  // else /dev/termination-log

// Of a training by a program of the user's own: the socket of the worker beside it, in a volume of their pod,
// and the worker's container.
inline constexpr const char* kSocketVariable = "MUSTER_SOCKET";
inline constexpr const char* kSocketVolume = "muster-socket";
inline constexpr const char* kSocketFolder = "/var/run/muster.dev/socket";
inline constexpr const char* kSocketPath = "/var/run/muster.dev/socket/worker";
inline constexpr const char* kProgramSidecar = "muster";

// Of a job without spec.training whose commands are restarted in place: the program that starts them, in a
// volume of the pod into which an init container copies it, and the pod's keys. Beside the folder of the
// token (kProgressFolder), not around it: nothing can be mounted inside a Secret.
inline constexpr const char* kExecProgram = "muster-exec";
inline constexpr const char* kExecVolume = "muster-exec";
inline constexpr const char* kExecFolder = "/var/run/muster.dev/exec";
inline constexpr const char* kExecKeysFolder = "/var/run/secrets/muster.dev/exec";

inline constexpr const char* kManagedByLabel = "app.kubernetes.io/managed-by";  // the informer selects by it
inline constexpr const char* kManagedBy = "muster";
inline constexpr const char* kJobNameLabel = "muster.dev/job-name";
inline constexpr const char* kJobUidLabel = "muster.dev/job-uid";
inline constexpr const char* kJobKindLabel = "muster.dev/job-kind";
inline constexpr const char* kRoleLabel = "muster.dev/role";    // worker, server, aggregator, client
inline constexpr const char* kIndexLabel = "muster.dev/index";  // of the pod within its role, from 0
// A pod set that is replaced as a whole. Who is a member of the training is decided by the roster of the
// assignment, not by this label.
inline constexpr const char* kIncarnationLabel = "muster.dev/incarnation";
inline constexpr const char* kAuthorityLabel = "muster.dev/ca";  // pods with keys: the authority of these
inline constexpr const char* kAttemptAnnotation = "muster.dev/attempt";       // replacements of a client pod
inline constexpr const char* kProgressAnnotation = "muster.dev/progress-ca";  // pods with a token: whose
inline constexpr const char* kWorldSizeAnnotation = "muster.dev/world-size";  // workers of the incarnation
inline constexpr const char* kGangAnnotation = "muster.dev/gang";  // whose group of pods it belongs to

// The folder in the container of a role that holds the pod's own key and certificate and the authority's
// certificate, in the files below: a Secret that the operator made, mounted by `items`.
inline constexpr const char* kCredentialsVolume = "muster-credentials";
inline constexpr const char* kCredentialsFolder = "/var/run/secrets/muster.dev";
inline constexpr const char* kKeyFile = "tls.key";
inline constexpr const char* kCertificateFile = "tls.crt";
inline constexpr const char* kAuthorityFile = "ca.crt";

// In the container of the role of a job without spec.training: what it tells its progress by, with the
// authority's certificate. The names are those of Kubeflow's protocol (KEP-2779), which programs look for.
inline constexpr const char* kProgressVolume = "muster-progress";
inline constexpr const char* kProgressFolder = "/var/run/secrets/muster.dev/progress";
inline constexpr const char* kTokenFile = "token";
inline constexpr const char* kProgressUrlVariable = "KUBEFLOW_TRAINER_SERVER_URL";
inline constexpr const char* kProgressCaVariable = "KUBEFLOW_TRAINER_SERVER_CA_CERT";
inline constexpr const char* kProgressTokenVariable = "KUBEFLOW_TRAINER_SERVER_TOKEN";

}  // namespace muster
