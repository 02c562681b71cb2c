#!/usr/bin/env bash
# Records of ended jobs: `muster history`, on `muster local up`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

write_plain() {  # FILE NAME COMMAND TTL
  cat > "$1" <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: $2}
spec:
  workers: {template: {spec: {containers: [{name: main, image: "debian:12", command: [sh, -c, "$3"]}]}}}
  runPolicy: {maxRestarts: 0, ttlSecondsAfterFinished: $4}
YAML
}
is_gone() { ! kubectl get dj "$1" > /dev/null 2>&1; }
runs() { "$MUSTER" history "$1" -o json | python3 -c 'import json,sys; print(" ".join(r["result"] for r in json.load(sys.stdin)["items"]))'; }
row() { sed -n "$1p" history.txt; }

records_outlive_their_objects() {
  up || return
  check "none yet" contains <("$MUSTER" history) "no job has ended in namespace 'default'"
  "$MUSTER" history tiny > out.txt 2> err.txt
  check "none of a name: exit code" [ $? = 1 ]
  check "none of a name: words" contains err.txt "no record of 'tiny' in namespace 'default'"
  write_plain job.yaml tiny 'exit 0' 1
  check "apply" kubectl apply -f job.yaml > /dev/null
  check "its TTL takes it" wait_until 40 is_gone tiny
  write_plain job.yaml tiny 'exit 3' 1
  check "apply again" kubectl apply -f job.yaml > /dev/null
  check "its TTL takes it, too" wait_until 60 is_gone tiny
  check "both runs, in their order" [ "$(runs tiny)" = "Succeeded Failed" ]
  "$MUSTER" history dj/tiny -o wide > history.txt
  check "the first" contains <(row 2) '^tiny +DistributedJob +Succeeded .* debian:12 '
  check "the second" contains <(row 3) '^tiny +DistributedJob +Failed +[A-Za-z]+ '
  check "of all namespaces" contains <("$MUSTER" history -A) '^default +tiny '
  check "one object holds them" [ "$(kubectl get cm muster-history -o json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["data"]))')" = 2 ]
  down
}
a_refused_record_holds_no_end_up() {
  up || return
  printf '{apiVersion: v1, kind: ConfigMap, metadata: {name: muster-history}, immutable: true}' | kubectl create -f - > /dev/null
  write_plain job.yaml tiny 'exit 0' 100
  check "apply" kubectl apply -f job.yaml > /dev/null
  check "it ends" kubectl wait --for=condition=Succeeded dj/tiny --timeout=60s > wait.txt 2>&1
  check "and it is told" wait_until 10 eval "kubectl get events | grep -q FailedHistory"
  down
}

command -v kubectl > /dev/null || { echo "skipped: kubectl is not on PATH"; exit 77; }
run_case records_outlive_their_objects 120
run_case a_refused_record_holds_no_end_up 90
finish
