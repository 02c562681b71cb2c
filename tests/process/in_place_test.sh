#!/usr/bin/env bash
# Commands that start again in their pods: by the real operator, muster-exec and pods.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

# Two workers, each with a sleeper of its own beside its command, by sh: nothing that heeds anything.
write_in_place() {
  cat > job.yaml <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: place}
spec:
  workers:
    replicas: 2
    template:
      spec:
        containers:
        - name: worker
          image: debian:12
          command: [sh, -c]
          args: ["sleep 1000 & echo rank \$RANK of \$WORLD_SIZE in \$MUSTER_MEMBERSHIP, \$\$\$\$ >> $PWD/told; exec sleep 1001"]
  runPolicy: {restart: InPlace, maxRestarts: 3}
YAML
}
# start: runs the job, its API reachable by kubeconfig
start() {
  "$MUSTER" run job.yaml --output json --verbose > out.json 2> err.txt &
  RUN=$!
  wait_until 60 told 1 2 || { fail "they do not run: $(tail -5 err.txt)"; kill -INT "$RUN"; wait "$RUN"; return 1; }
  KUBECONFIG="$(sed -n 's/^export KUBECONFIG=//p' err.txt)"
  export KUBECONFIG
}
stop() { kill -INT "$RUN"; wait "$RUN"; unset KUBECONFIG; }
pods() { "$MUSTER" get pods -o json | python3 -c '
import json, sys
print("\n".join(sorted("%s %s" % (p["metadata"]["name"], p["metadata"]["uid"]) for p in json.load(sys.stdin)["items"])))'; }
status_says() { [ "$("$MUSTER" get dj place -o json | python3 -c 'import json,sys; d=json.load(sys.stdin)["status"]; print(eval(sys.argv[1], {"d": d}))' "$1")" = True ]; }
told() { [ "$(grep -c "of $2 in $1," told 2>/dev/null)" = "$2" ]; }
pid_of() { sed -n "s/^rank $1 of .* in $2, //p" told; }
supervisor_of() {  # RANK: the muster-exec of its pod
  local pid
  for pid in $(processes_named muster-exec); do
    tr '\0' '\n' < "/proc/$pid/environ" | grep -qx "MUSTER_INDEX=$1" && echo "$pid"
  done
}

a_killed_command_starts_all_again_in_the_same_pods() {
  write_in_place
  start || return
  wait_until 20 status_says 'd["phase"] == "Running"' || fail "not told to run"
  local before other
  before="$(pods)"; other="$(pid_of 0 1)"
  kill -9 "$(pid_of 1 1)"
  wait_until 30 told 2 2 || { fail "they do not run again: $(tail -5 err.txt)"; stop; return; }
  check "the other's command is another" ended "$other"
  check "what they left is gone" [ "$(for pid in $(marked); do tr '\0' ' ' < "/proc/$pid/cmdline"; echo; done | grep -c '^sleep 1000')" = 2 ]
  check "the pods are the same" [ "$(pods)" = "$before" ]
  wait_until 20 status_says 'd["restarts"] == 1 and d["membership"] == 2 and d["incarnation"] == 1 and d["phase"] == "Running"' ||
    fail "the status tells otherwise: $("$MUSTER" get dj place -o json)"
  check "an event tells of it" contains <("$MUSTER" describe dj place) 'worker 1 .*SIGKILL.*restart 1 of 3'

  # A pod that fails itself is made anew alone.
  kill -9 "$(supervisor_of 0)"
  wait_until 60 told 3 2 || { fail "they do not run a third time: $(tail -5 err.txt)"; stop; return; }
  check "another pod" [ "$(pods | grep place-worker-0)" != "$(echo "$before" | grep place-worker-0)" ]
  check "the other pod stays" [ "$(pods | grep place-worker-1)" = "$(echo "$before" | grep place-worker-1)" ]
  check "it counts" status_says 'd["restarts"] == 2 and d.get("disruptions", 0) == 0 and d["incarnation"] == 1'
  stop
}
a_container_without_a_command_is_refused_by_name() {
  write_in_place
  sed -i 's/command: \[sh, -c\]/imagePullPolicy: IfNotPresent/' job.yaml
  timeout 30 "$MUSTER" run job.yaml > out.txt 2> err.txt
  check "exit code" [ $? != 0 ]
  check "says which, and what to do" contains err.txt 'containers\[0\].command: required with runPolicy.restart InPlace.*write the entry point'
}
the_example_finishes_after_one_restart() {
  timeout 90 "$MUSTER" run "$SOURCE/examples/distributed/in-place.yaml" --output json > out.json 2> err.txt || fail "exit code $?: $(tail -8 err.txt)"
  check "one restart" [ "$(json out.json 'd["objects"][0]["restarts"]')" = 1 ]
}

run_case a_killed_command_starts_all_again_in_the_same_pods 120
run_case a_container_without_a_command_is_refused_by_name 30
run_case the_example_finishes_after_one_restart 90
finish
