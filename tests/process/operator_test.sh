#!/usr/bin/env bash
# What users do to objects that the operator has: with stock kubectl, against `muster local up`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

write_sleeper() {  # FILE NAME SECONDS [FIELD OF THE CONTAINER]
  cat > "$1" <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: $2}
spec:
  workers:
    replicas: 2
    template:
      spec:
        containers:
        - {name: main, image: "debian:12", ${4:-command}: [sleep, "$3"]}
YAML
}
reason_is() { [ "$(kubectl get dj "$1" -o 'jsonpath={.status.conditions[?(@.type=="PodsReady")].reason}')" = "$2" ]; }
phase_is() { [ "$(kubectl get dj "$1" -o 'jsonpath={.status.phase}')" = "$2" ]; }
uids() { kubectl get pods -o 'jsonpath={range .items[*]}{.metadata.uid}{"\n"}{end}' | sort; }

a_refused_job_runs_once_it_is_mended() {
  up || return
  write_sleeper job.yaml tiny 0 comand
  check "apply" kubectl apply -f job.yaml > apply.txt 2>&1
  check "it is refused" wait_until 20 phase_is tiny Failed
  check "and says why" contains <(kubectl get dj tiny -o yaml) 'unknown field .*spec.workers.template.spec.containers\[0\].comand'
  check "in the column" contains <(kubectl get dj tiny) 'tiny +Failed .*InvalidSpec'
  write_sleeper job.yaml tiny 0
  check "apply again" kubectl apply -f job.yaml > again.txt 2>&1
  check "is taken" contains again.txt 'tiny configured'
  check "it runs to its end" kubectl wait --for=condition=Succeeded dj/tiny --timeout=60s > wait.txt 2>&1
  write_sleeper job.yaml tiny 1
  kubectl apply -f job.yaml > late.txt 2>&1 && fail "what has run can be edited"
  check "with the place" contains late.txt 'spec.workers.template.*can be changed only while the object is suspended'
  down
}
orphans_of_a_deleted_job_are_replaced() {
  up || return
  write_sleeper job.yaml sleeper 300
  check "apply" kubectl apply -f job.yaml > /dev/null
  check "it runs" wait_until 30 phase_is sleeper Running
  uids > before.txt
  check "delete, keep the pods" timeout 20 kubectl delete dj sleeper --cascade=orphan > /dev/null
  check "they are there" [ "$(uids)" = "$(cat before.txt)" ]
  write_sleeper job.yaml sleeper 1
  check "apply again" kubectl apply -f job.yaml > /dev/null
  check "it runs to its end" kubectl wait --for=condition=Succeeded dj/sleeper --timeout=90s > wait.txt 2>&1
  check "with its own pods" [ -z "$(comm -12 before.txt <(uids))" ]
  check "and it is told" contains <(kubectl get events) 'OrphanReplaced'
  down
}

command -v kubectl > /dev/null || { echo "skipped: kubectl is not on PATH"; exit 77; }
run_case a_refused_job_runs_once_it_is_mended 120
run_case orphans_of_a_deleted_job_are_replaced 150
finish
