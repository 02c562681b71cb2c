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

an_image_that_does_not_exist_is_told_at_once() {
  up || return
  write_sleeper job.yaml lost 0
  sed -i 's/, command: .*}/, imagePullPolicy: Never}/; s/debian:12/registry.example.com\/none:1/' job.yaml
  check "apply" kubectl apply -f job.yaml > /dev/null
  check "the reason is told" wait_until 10 reason_is lost ErrImageNeverPull
  check "with pod and image" contains <(kubectl get dj lost -o yaml) 'lost-worker-[01]: .*registry.example.com/none:1'
  check "it waits" phase_is lost Pending
  check "and restarts nothing" eval '[[ "$(kubectl get dj lost -o "jsonpath={.status.restarts}")" =~ ^0?$ ]]'
  kubectl patch dj lost --type=merge -p '{"spec": {"suspend": true}}' > /dev/null
  check "it is suspended" wait_until 20 phase_is lost Suspended
  write_sleeper job.yaml lost 0
  check "another image" kubectl apply -f job.yaml > /dev/null
  kubectl patch dj lost --type=merge -p '{"spec": {"suspend": false}}' > /dev/null
  check "it runs to its end" kubectl wait --for=condition=Succeeded dj/lost --timeout=60s > wait.txt 2>&1
  down
}

# What the operator wrote in namespace team, as VERB RESOURCE CODE.
written_in_team() {
  python3 - audit.log <<'PY'
import json, sys
for line in open(sys.argv[1]):
    event = json.loads(line)
    about = event.get("objectRef", {})
    if about.get("namespace") == "team" and event["userAgent"].startswith("muster/") and event["verb"] not in ("get", "list", "watch"):
        print(event["verb"], about["resource"], event["responseStatus"]["code"])
PY
}
a_namespace_that_ends_takes_its_jobs_in_peace() {
  up --audit-log "$PWD/audit.log" || return
  kubectl create namespace team > /dev/null
  kubectl create configmap held -n team > /dev/null
  kubectl patch configmap held -n team --type=merge -p '{"metadata": {"finalizers": ["example.com/held"]}}' > /dev/null
  write_sleeper one.yaml one 300
  write_sleeper two.yaml two 300
  kubectl apply -n team -f one.yaml -f two.yaml > /dev/null
  check "they run" wait_until 30 eval '[ "$(kubectl get dj -n team -o "jsonpath={.items[*].status.phase}")" = "Running Running" ]'
  written_in_team > before.txt
  check "its writes are seen" contains before.txt '^create pods 201'
  kubectl delete namespace team --wait=false > /dev/null
  check "pods and jobs are gone" wait_until 30 eval '[ -z "$(kubectl get pods,dj,services -n team -o name)" ]'
  check "the namespace is held" eval '[ "$(kubectl get namespace team -o "jsonpath={.status.phase}")" = Terminating ]'
  kubectl apply -n team -f one.yaml > late.txt 2>&1
  check "nothing new is made in it" contains late.txt 'because it is being terminated'
  sleep 5  # time for a loop to show itself
  written_in_team > after.txt
  local writes=$(($(wc -l < after.txt) - $(wc -l < before.txt)))
  check "$writes writes for it" [ "$writes" -le 24 ] || { tail -n +$(($(wc -l < before.txt) + 1)) after.txt | sort | uniq -c | sed 's/^/    | /'; }
  kubectl patch configmap held -n team --type=merge -p '{"metadata": {"finalizers": null}}' > /dev/null
  check "it ends" wait_until 20 eval '! kubectl get namespace team > /dev/null 2>&1'
  kubectl create namespace team > /dev/null
  write_sleeper one.yaml one 0
  kubectl apply -n team -f one.yaml > /dev/null
  check "the next one of its name works" kubectl wait -n team --for=condition=Succeeded dj/one --timeout=60s > wait.txt 2>&1
  down
}

command -v kubectl > /dev/null || { echo "skipped: kubectl is not on PATH"; exit 77; }
run_case a_refused_job_runs_once_it_is_mended 120
run_case orphans_of_a_deleted_job_are_replaced 150
run_case an_image_that_does_not_exist_is_told_at_once 120
run_case a_namespace_that_ends_takes_its_jobs_in_peace 150
finish
