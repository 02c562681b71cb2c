#!/usr/bin/env bash
# The rights that the chart gives to the operator are those that it uses: an installed release does all that it ever does, and what the
# API server heard from it is compared with the chart's roles, both ways.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
SOURCE="$(cd "$HERE/../.." && pwd)"
source "$HERE/../process/lib.sh"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done
export HELM_CACHE_HOME="$ROOT/helm/cache" HELM_CONFIG_HOME="$ROOT/helm/config" HELM_DATA_HOME="$ROOT/helm/data"
NS=muster-system

phase_is() { [ "$(kubectl get "$1" "$2" -o 'jsonpath={.status.phase}' 2> /dev/null)" = "$3" ]; }
gone() { ! kubectl get "$1" "$2" > /dev/null 2>&1; }
has_another() { local now; now="$(kubectl get pod "$1" -o 'jsonpath={.metadata.uid}' 2> /dev/null)"; [ -n "$now" ] && [ "$now" != "$2" ]; }
# A line of the log in which the operator did VERB on RESOURCE; of lists and watches, too.
did() { grep -F "\"system:serviceaccount:$NS:muster-operator\"" audit.log | grep "\"verb\":\"$1\"" | grep -q "\"resource\":\"$2\""; }

manifests() {
  cat <<'YAML'
apiVersion: muster.dev/v1alpha1   # a training from its start to its ttl
kind: DistributedJob
metadata: {name: training}
spec:
  workers: {replicas: 2, template: {spec: {containers: [{name: worker}]}}}
  training:
    model: {name: softmax}
    dataset: {name: synthetic, synthetic: {alpha: 0.5, beta: 0.5, devices: 10}}
    optimizer: {name: SGD, learningRate: 0.05}
    batchSize: 32
    epochs: 1
  runPolicy: {ttlSecondsAfterFinished: 0}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Mi}}}
---
apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: federation}
spec:
  rounds: 1
  training:
    model: {name: softmax}
    dataset: {name: synthetic, synthetic: {alpha: 0.5, beta: 0.5, devices: 4}}
    localEpochs: 1
    batchSize: 10
    optimizer: {name: SGD, learningRate: 0.05}
  cohort: {size: 2, minimum: 1}
  stragglers: {deadlineSeconds: 20}
  aggregator:
    template:
      spec:
        containers: [{name: aggregator, volumeMounts: [{name: models, mountPath: /models}]}]
        volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]
    storage: {path: /models}
  clients: {count: 4, perPod: 4, partition: {kind: Natural}}
  runPolicy: {ttlSecondsAfterFinished: 0}
---
apiVersion: v1                    # names that a job needs and that somebody else has
kind: Service
metadata: {name: taken}
spec: {clusterIP: None, selector: {app: other}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: squatted-worker-0}
spec: {containers: [{name: x, image: x, command: [sleep, "600"]}]}
YAML
  local name node
  for name in taken squatted left held; do
    node=''; [ $name != held ] || node='nodeName: silent,'  # no kubelet answers there
    cat <<YAML
---
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: $name}
spec:
  workers:
    replicas: 1
    template: {spec: {$node terminationGracePeriodSeconds: 1, containers: [{name: worker, image: x, command: [sleep, "600"]}]}}
YAML
  done
}

rights_are_those_that_are_used() {
  up --no-operator --audit-log "$PWD/audit.log" || return
  kubectl delete -f "$SOURCE/crds" > /dev/null  # the chart brings them
  helm install muster "$SOURCE/charts/muster" -n $NS --create-namespace --wait --timeout 60s > out.txt 2>&1 || fail "install: $(tail -3 out.txt)" || { down; return; }
  manifests | kubectl apply -f - > /dev/null
  check "a pod is on a node that does not answer" wait_until 40 kubectl get pod held-worker-0 -o name
  local held; held="$(kubectl get pod held-worker-0 -o 'jsonpath={.metadata.uid}')"
  # It stays when it is deleted; a minute later the operator looks at the node.
  kubectl delete pod held-worker-0 --wait=false > /dev/null
  # What an earlier job of the name left, makes room.
  check "another runs" wait_until 40 phase_is dj left Running
  kubectl get dj left -o yaml > left.yaml
  kubectl delete dj left --cascade=orphan > /dev/null
  kubectl create -f left.yaml > /dev/null
  check "the training is gone with its ttl" wait_until 60 gone dj training
  check "so is the federation" wait_until 60 gone fr federation
  check "the Service that is in the way is looked at" wait_until 20 did get services
  check "the pod, too" wait_until 20 did get pods
  check "what was left is removed" wait_until 20 did delete services
  check "an event is told again" wait_until 60 did patch events
  check "a node is looked at" wait_until 90 did get nodes
  check "which does not exist, so that its pod makes room for another" wait_until 20 has_another held-worker-0 "$held"
  (cd "$HERE" && /usr/bin/python3 rights.py "$OLDPWD/audit.log" "system:serviceaccount:$NS:muster-operator") > rights.txt 2>&1 ||
    { sed 's/^/    | /' rights.txt; fail "rights that are given and rights that were used differ"; }
  cat rights.txt
  # The judge is not blind.
  grep -v '"verb":"watch"' audit.log > deaf.log
  check "a right that is not used is seen" eval '! (cd "$HERE" && /usr/bin/python3 rights.py "$OLDPWD/deaf.log" "system:serviceaccount:$NS:muster-operator") > rights.txt'
  check "by its name" contains rights.txt "given, not used: .*'pods', 'watch'"
  down
}

# In two namespaces of three: nothing is asked elsewhere, nothing is refused.
a_namespaced_release_stays_in_its_namespaces() {
  up --no-operator --audit-log "$PWD/audit.log" || return
  kubectl delete -f "$SOURCE/crds" > /dev/null
  local namespace
  for namespace in team-a team-b team-c; do kubectl create namespace $namespace > /dev/null; done
  helm install muster "$SOURCE/charts/muster" -n $NS --create-namespace --set 'watchNamespaces={team-a,team-b}' --wait --timeout 60s > out.txt 2>&1 ||
    fail "install: $(tail -3 out.txt)" || { down; return; }
  check "helm test, in the first of them" helm test muster -n $NS --timeout 60s > test.txt
  for namespace in team-b team-c; do
    write_job job.yaml small
    kubectl apply -n $namespace -f job.yaml > /dev/null
  done
  check "a job of the second runs" wait_until 60 eval '[ "$(kubectl get dj small -n team-b -o "jsonpath={.status.phase}")" = Succeeded ]'
  check "one of the third is left alone" [ -z "$(kubectl get dj small -n team-c -o 'jsonpath={.status}')" ]
  timeout 20 "$MUSTER_BIN/muster-operator" --await=team-c/small --await-seconds=1 > await.txt 2>&1
  check "whose end is waited for in vain" [ $? = 1 ]
  check "as long as was said" contains await.txt '1 s are over; .*not seen by an operator yet'
  check "nothing was refused" eval '! grep -F "$NS:muster-operator\"" audit.log | grep "\"forbid\""'
  check "nor asked elsewhere" eval '! grep -F "$NS:muster-operator\"" audit.log | grep "\"namespace\":\"\(team-c\|default\)\""'
  down
}

run_case rights_are_those_that_are_used 200
run_case a_namespaced_release_stays_in_its_namespaces 120
finish
