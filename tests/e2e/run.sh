#!/usr/bin/env bash
# Muster on a cluster, from end to end: installs the chart, runs both examples, kills pods and the operator meanwhile, upgrades, uninstalls.
#   KUBECONFIG=... tests/e2e/run.sh [helm's options, e.g. --set imageRegistry=registry.example.com/ml --set images.worker.tag=...]
# The nodes need the images, the data of Debian's package dataset-fashion-mnist under /usr/share/datasets (or DATA), and a default
# storage class. Ends with 0 if all held; what was made is removed, unless KEEP is set.
#   NAMESPACE  of the operator (muster-system)     JOBS   namespace of the jobs (muster-e2e)
#   DATA       folder with the data on the nodes   QUICK  not empty: 2 epochs and 3 rounds instead of all
#   PLAIN      image with a shell (debian:12)      WAIT   seconds that a step may take (600)
set -uo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
: "${NAMESPACE:=muster-system}" "${JOBS:=muster-e2e}" "${DATA:=/usr/share/datasets/fashion-mnist}" "${QUICK:=}" "${PLAIN:=debian:12}" "${WAIT:=600}" "${KEEP:=}"
CHART=${CHART:-charts/muster}
OPTIONS=("$@")
STARTED=$SECONDS
FAILED=0

say() { printf '[%4d s] %s\n' $((SECONDS - STARTED)) "$*"; }
fail() { say "FAILED: $*"; FAILED=$((FAILED + 1)); return 1; }
check() {  # WHAT COMMAND...
  local what=$1; shift
  if "$@"; then say "ok: $what"; else fail "$what"; fi
}
quiet() {  # COMMAND...: shows what it says only if it fails
  local said
  said=$("$@" 2>&1) || { printf '%s\n' "$said" | tail -20; return 1; }
}
k() { kubectl -n "$JOBS" "$@"; }
value() { k get "$1" "$2" -o "jsonpath={$3}" 2> /dev/null; }
equal() { [ "$1" = "$2" ] || { say "'$1' is not '$2'"; return 1; }; }
at_least() { awk -v have="$1" -v want="$2" 'BEGIN {exit !(have + 0 >= want + 0)}' || { say "'$1' is less than '$2'"; return 1; }; }
step_beyond() { [ "$(value dj "$1" .status.progress.step)" -gt "$2" ] 2> /dev/null; }
poll() {  # COMMAND...: until it succeeds
  local deadline=$((SECONDS + WAIT))
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.5
  done
}
succeeded() {  # KIND NAME
  local phase deadline=$((SECONDS + WAIT))
  while phase=$(value "$1" "$2" .status.phase); [ "$phase" != Succeeded ]; do
    [ "$phase" != Failed ] && [ $SECONDS -lt $deadline ] || { explain "$1" "$2"; return 1; }
    sleep 1
  done
}
explain() {  # KIND NAME: what a person would look at
  k describe "$1" "$2" | tail -40
  k get pods -o wide
  kubectl -n "$NAMESPACE" get pods -o wide
  kubectl -n "$NAMESPACE" logs -l app.kubernetes.io/component=operator --tail=20 --prefix
}
release() { helm upgrade --install muster "$CHART" -n "$NAMESPACE" --create-namespace --wait --timeout "${WAIT}s" "${OPTIONS[@]}" "$@"; }
leader() { kubectl -n "$NAMESPACE" get lease -o 'jsonpath={.items[0].spec.holderIdentity}'; }
leads_other_than() { local now; now=$(leader); [ -n "$now" ] && [ "$now" != "$1" ]; }
restarts() { value "$1" "$2" .status.restarts | grep . || echo 0; }
pods_of() { k get pods -l "muster.dev/job-name=$1" -o 'jsonpath={.items[*].metadata.uid}'; }

example() {  # FILE: as this cluster and this run need it
  local edits=(-e "s#/usr/share/datasets/fashion-mnist#$DATA#")
  [ -z "$QUICK" ] || edits+=(-e 's/^    epochs: 12$/    epochs: 2/' -e 's/^  rounds: 50$/  rounds: 3/' -e '/^  target: /d')
  sed "${edits[@]}" "$1"
}

install() {
  say "installing $CHART in $NAMESPACE"
  quiet release || return 1
  # Pods of trainings keep to the standard, too: `helm test` runs some here. (The examples mount a folder of the node, which it forbids.)
  quiet kubectl label --overwrite namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted
  check "two operators are ready" equal "$(kubectl -n "$NAMESPACE" get deploy muster-operator -o 'jsonpath={.status.readyReplicas}')" 2
  check "one of them leads" poll leads_other_than ""
  check "helm test" quiet helm test muster -n "$NAMESPACE" --timeout "${WAIT}s"
  kubectl create namespace "$JOBS" > /dev/null 2>&1 || true
}

# A worker and the leader are killed, the operator is upgraded, and the model is what it would have been.
distributed() {
  local name=fashion-mnist-ring old pods
  example examples/distributed/fashion-mnist-ring.yaml | k apply -f - > /dev/null
  check "$name trains" poll step_beyond $name 0
  old=$(value pod $name-worker-1 .metadata.uid)
  k delete pod $name-worker-1 --grace-period=0 --force > /dev/null 2>&1
  check "its killed worker is replaced" poll eval '[ -n "$(value pod '$name'-worker-1 .metadata.uid)" ] && [ "$(value pod '$name'-worker-1 .metadata.uid)" != "'"$old"'" ]'
  check "all train again" poll eval '[ "$(value dj '$name' ".status.conditions[?(@.type==\"AllWorkersTrain\")].status")" = True ]'
  pods=$(pods_of $name)
  old=$(leader)
  kubectl -n "$NAMESPACE" delete pod "${old%_*}" --grace-period=0 --force > /dev/null 2>&1
  check "another operator leads" poll leads_other_than "$old"
  check "helm upgrade" quiet release --set operator.podAnnotations.upgraded=yes
  check "no worker was restarted for it" equal "$(pods_of $name)" "$pods"
  check "$name succeeds" succeeded dj $name || return
  check "a deletion counts as no restart" equal "$(restarts dj $name)" 0
  check "its bytes are those of the formula" equal "$(value dj $name .status.progress.payloadBytesSent)" "$(value dj $name .status.progress.payloadBytesExpected)"
  check "it has learnt" at_least "$(value dj $name .status.progress.accuracy)" "$([ -n "$QUICK" ] && echo 0.7 || echo 0.87)"
  say "accuracy $(value dj $name .status.progress.accuracy), parameters $(value dj $name .status.progress.parametersSha256)"
}

# The aggregator is killed and resumes, a client pod is killed and replaced.
federated() {
  local name=fashion-mnist-fedavg
  example examples/federated/fashion-mnist-fedavg.yaml | k apply -f - > /dev/null
  check "$name commits a round" poll eval '[ "$(value fr '$name' .status.progress.round)" -ge 1 ]'
  k delete pod $name-client-0 --grace-period=0 --force > /dev/null 2>&1
  k delete pod $name-aggregator-0 --grace-period=0 --force > /dev/null 2>&1
  check "$name succeeds" succeeded fr $name || return
  [ -z "$QUICK" ] || check "all its rounds are done" at_least "$(value fr $name .status.progress.round)" 3
  check "it has learnt" at_least "$(value fr $name .status.progress.accuracy)" "$([ -n "$QUICK" ] && echo 0.2 || echo 0.76)"
  say "accuracy $(value fr $name .status.progress.accuracy) after $(value fr $name .status.progress.round) rounds"
}

# Any program: a rank that fails restarts all of them, once.
plain() {
  k apply -f - > /dev/null <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: plain}
spec:
  workers:
    replicas: 3
    template:
      spec:
        containers:
        - name: worker
          image: $PLAIN
          command: [sh, -c]
          args: ['echo "rank \$RANK of \$WORLD_SIZE, rank 0 is \$MASTER_ADDR"; [ "\$RANK:\$MUSTER_INCARNATION" != 1:1 ] || exit 3; sleep 2']
  runPolicy: {maxRestarts: 1}
YAML
  check "a failing rank's job succeeds after a restart" succeeded dj plain || return
  check "which is counted" equal "$(restarts dj plain)" 1
  check "its pods knew their ranks" grep -q 'rank 2 of 3' <(k logs plain-worker-2)
}

uninstall() {
  [ -z "$KEEP" ] || { say "kept: release muster in $NAMESPACE, jobs in $JOBS"; return; }
  check "helm uninstall" quiet helm uninstall muster -n "$NAMESPACE" --wait --timeout "${WAIT}s"
  check "kinds and objects stay" quiet k get dj/fashion-mnist-ring fr/fashion-mnist-fedavg
  k delete dj,fr,pvc --all --timeout "${WAIT}s" > /dev/null
  kubectl delete namespace "$JOBS" --timeout "${WAIT}s" > /dev/null
}

if install; then
  distributed
  federated
  plain
else
  fail "helm install"
  kubectl -n "$NAMESPACE" get pods -o wide
  kubectl -n "$NAMESPACE" describe pods | tail -40
fi
uninstall
say "$([ $FAILED = 0 ] && echo "all held" || echo "$FAILED checks failed")"
[ $FAILED = 0 ]
