# Harness of the process tests: sourced by each of them. A case is a function; `run_case NAME` runs it in a folder of its
# own with a deadline; the script fails if a case does. Needs bash, coreutils, python3.
# MUSTER_BIN is the folder of the binaries; MUSTER_TIMEOUT_FACTOR says how much slower than usual they are.
set -u
: "${MUSTER_BIN:?the folder of the muster binaries}" "${MUSTER_TIMEOUT_FACTOR:=1}"
MUSTER="$MUSTER_BIN/muster"
ROOT="$(mktemp -d "${TMPDIR:-/tmp}/muster-process.XXXXXX")"
FAILED=0
CASES=0
# In the environment of every process that a case starts, and of every pod: so leftovers are found however they came.
export XDG_RUNTIME_DIR="$ROOT/runtime"
unset KUBECONFIG
mkdir -m 700 -p "$XDG_RUNTIME_DIR"
# A subshell that is killed before bash has taken this trap from it would run it.
trap 'if [ "$BASHPID" = $$ ]; then end_marked; rm -rf "$ROOT"; fi' EXIT

marked() {  # process ids with $ROOT in their environment
  local file pid
  for file in /proc/[0-9]*/environ; do
    pid="${file#/proc/}"; pid="${pid%/environ}"
    grep -qa "$ROOT/" "$file" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null && echo "$pid"
  done
}
processes_named() {  # NAME: marked processes that run that program
  local pid
  for pid in $(marked); do
    [ "$(basename "$(readlink "/proc/$pid/exe" 2>/dev/null)" 2>/dev/null)" = "$1" ] && echo "$pid"
  done
}
end_marked() {
  local pids
  pids="$(marked)"
  [ -z "$pids" ] || kill -9 $pids 2>/dev/null
}

timeout() { command timeout $(($1 * MUSTER_TIMEOUT_FACTOR)) "${@:2}"; }
fail() { echo "    FAILED: $*"; CASE_FAILED=1; return 1; }
check() {  # DESCRIPTION COMMAND...
  local what="$1"; shift
  "$@" || fail "$what"
}
skip() { echo "    skipped: $*"; }
contains() { grep -qsiE -- "$2" "$1" || { echo "    --- $1 does not hold /$2/:"; sed 's/^/    | /' "$1" | tail -30; return 1; }; }
wait_until() {  # SECONDS COMMAND...: polls until the command succeeds
  local deadline=$((SECONDS + $1 * MUSTER_TIMEOUT_FACTOR)); shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}
ended() { ! kill -0 "$1" 2>/dev/null; }
json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(eval(sys.argv[2], {"d": d}))' "$1" "$2"; }

# Nothing of the run may be left: no process, no socket or other file in the runtime folder or below TMPDIR.
nothing_left() {
  local left
  wait_until 2 eval '[ -z "$(marked)" ]' || {
    left="$(for pid in $(marked); do echo "$pid $(tr '\0' ' ' < /proc/$pid/cmdline)"; done)"
    fail "processes are left: $left"; end_marked
  }
  left="$(find "$XDG_RUNTIME_DIR" "$TMPDIR" -mindepth 1 2>/dev/null)"
  [ -z "$left" ] || { fail "files are left: $left"; rm -rf "${XDG_RUNTIME_DIR:?}"/*; }
}

# What waits for ever is ended and named, so that the case fails and not the whole script: kubectl, for one, waits for an
# object that was made again under its name while it was asked to delete it.
watch_over() {  # NAME SECONDS
  local pid slept
  trap 'kill $slept 2>/dev/null; exit' TERM
  env -i sleep "$2" & slept=$!  # not marked
  wait $slept
  echo "    FAILED: $1 is not done after $2 s; ended are:"
  for pid in $(marked); do echo "    | $pid $(tr '\0' ' ' < /proc/$pid/cmdline 2>/dev/null)"; done
  end_marked
}

run_case() {  # NAME SECONDS: the function NAME, in a folder of its own
  local begin=$SECONDS watcher
  CASES=$((CASES + 1)); CASE_FAILED=0
  mkdir -p "$ROOT/$1" "$ROOT/tmp"; cd "$ROOT/$1" || exit 1
  export TMPDIR="$ROOT/tmp"
  echo "[ RUN  ] $1"
  DEADLINE=$((SECONDS + $2 * MUSTER_TIMEOUT_FACTOR))
  watch_over "$1" $((DEADLINE - SECONDS + 1)) & watcher=$!
  "$1"
  kill $watcher 2>/dev/null; wait $watcher
  nothing_left
  [ "$SECONDS" -le "$DEADLINE" ] || fail "took $((SECONDS - begin)) s, more than $2"
  if [ "$CASE_FAILED" = 0 ]; then echo "[  OK  ] $1 ($((SECONDS - begin)) s)"; else
    echo "[FAILED] $1"; FAILED=$((FAILED + 1)); fi
  cd "$ROOT" || exit 1
}
finish() { echo "$CASES cases, $FAILED failed"; [ "$FAILED" = 0 ]; exit; }

# The control plane for a case.
up() {  # [OPTIONS]: starts it, sets UP (pid) and KUBECONFIG
  "$MUSTER" local up "$@" > up.txt 2> up.err &
  UP=$!
  wait_until 15 contains up.txt 'export KUBECONFIG=' > /dev/null || { fail "not up: $(cat up.err)"; return 1; }
  KUBECONFIG="$(sed -n 's/.*export KUBECONFIG=//p' up.txt)"
  export KUBECONFIG
}
down() {
  local begin=$SECONDS
  kill -INT "$UP"; wait "$UP"
  check "ends with exit code 0" [ $? = 0 ]
  check "ends within 5 s" [ $((SECONDS - begin)) -le 5 ]
  unset KUBECONFIG
}

# For programs of a user's own: SOURCE, the library's and the package's places, and PYTHON, one that has MODULES (empty: none here has).
# use_library MODULES; ends the test where the library cannot be loaded.
use_library() {
  local python
  SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
  export LD_LIBRARY_PATH="$MUSTER_LIBRARY_FOLDER" PYTHONPATH="$SOURCE/python" PYTHONDONTWRITEBYTECODE=1
  if ldd "$MUSTER_LIBRARY_FOLDER/libmuster_worker.so" | grep -q 'lib[at]san'; then
    skip "a library under a sanitizer is not loaded by programs without one; worker_program_test runs the same calls"
    exit 77
  fi
  PYTHON=""
  for python in python3 /usr/bin/python3; do
    [ -n "$PYTHON" ] || ! "$python" -c "import $1" 2> /dev/null || PYTHON="$(command -v "$python")"
  done
}

# A small DistributedJob on synthetic data: write_job FILE NAME [EXTRA_TRAINING_LINES] [WORKERS] [EPOCHS]
write_job() {
  cat > "$1" <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $2}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Mi}}}
---
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: $2}
spec:
  workers:
    replicas: ${4:-2}
    template:
      spec:
        containers:
        - name: worker
          volumeMounts: [{name: checkpoints, mountPath: /checkpoints}]
        volumes:
        - name: checkpoints
          persistentVolumeClaim: {claimName: $2}
  training:
    model: {name: softmax}
    dataset: {name: synthetic, synthetic: {alpha: 0.5, beta: 0.5, devices: 10}}
    optimizer: {name: SGD, learningRate: 0.05}
    batchSize: 32
    epochs: ${5:-3}
    seed: 7
    checkpoint: {path: /checkpoints, everySteps: 20}
${3:-}
YAML
}

# A definition of somebody else's kind, as far as it matters here: write_crd GROUP VERSION PLURAL KIND [Cluster]
write_crd() {
  cat << YAML
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: $3.$1
  annotations: {api-approved.kubernetes.io: "unapproved, for a test"}
spec:
  group: $1
  names: {kind: $4, listKind: $4List, plural: $3, singular: ${4,,}}
  scope: ${5:-Namespaced}
  versions:
  - name: $2
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
YAML
}
