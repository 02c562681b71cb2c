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

write_group() { printf 'apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: grouped}\nspec: {minMember: 9}\n'; }
queued_workload() { kubectl get workloads -o name | grep distributedjob-queued-; }
ADMITTED='{"status": {"admission": {"clusterQueue": "all", "podSetAssignments": [{"name": "worker", "count": 1, "flavors": {"cpu": "any"}}]},
  "conditions": [{"type": "QuotaReserved", "status": "True", "reason": "QuotaReserved", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"},
                 {"type": "Admitted", "status": "True", "reason": "Admitted", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"}]}}'
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
  cat <<'YAML'
---
apiVersion: muster.dev/v1alpha1   # in a queue, with the priority of its own label
kind: DistributedJob
metadata: {name: queued, labels: {kueue.x-k8s.io/queue-name: team, kueue.x-k8s.io/priority-class: urgent}}
spec:
  scheduling: {gang: None}
  workers: {replicas: 1, template: {spec: {terminationGracePeriodSeconds: 1, containers: [{name: worker, image: x, command: [sleep, "600"]}]}}}
---
apiVersion: muster.dev/v1alpha1   # and with that of its pods
kind: DistributedJob
metadata: {name: ranked, labels: {kueue.x-k8s.io/queue-name: team}}
spec:
  scheduling: {gang: None}
  workers: {replicas: 1, template: {spec: {priorityClassName: high, containers: [{name: worker, image: x, command: [sleep, "600"]}]}}}
YAML
  local name node seconds gang
  for name in taken squatted left held grouped; do
    node=''; [ $name != held ] || node='nodeName: silent,'  # no kubelet answers there
    gang=None seconds=600; [ $name != grouped ] || gang=SchedulerPlugins seconds=1
    cat <<YAML
---
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: $name}
spec:
  scheduling: {gang: $gang}
  workers:
    replicas: 1
    template: {spec: {$node terminationGracePeriodSeconds: 1, containers: [{name: worker, image: x, command: [sleep, "$seconds"]}]}}
YAML
  done
}

rights_are_those_that_are_used() {
  local kind
  up --no-operator --audit-log "$PWD/audit.log" || return
  kubectl delete -f "$SOURCE/crds" > /dev/null  # the chart brings them
  helm install muster "$SOURCE/charts/muster" -n $NS --create-namespace --wait --timeout 60s > out.txt 2>&1 || fail "install: $(tail -3 out.txt)" || { down; return; }
  write_crd scheduling.x-k8s.io v1alpha1 podgroups PodGroup | kubectl apply -f - > /dev/null
  for kind in workloads/Workload resourceflavors/ResourceFlavor/Cluster workloadpriorityclasses/WorkloadPriorityClass/Cluster; do
    write_crd kueue.x-k8s.io v1beta2 ${kind//\// } | kubectl apply -f - > /dev/null
  done
  check "groups of pods are served" wait_until 20 kubectl get podgroups > /dev/null
  check "queues, too" wait_until 20 kubectl get workloadpriorityclasses > /dev/null
  printf 'apiVersion: kueue.x-k8s.io/v1beta2\nkind: WorkloadPriorityClass\nmetadata: {name: urgent}\nvalue: 7\n' | kubectl apply -f - > /dev/null
  write_group | kubectl apply -f - > /dev/null
  printf 'apiVersion: kueue.x-k8s.io/v1beta2\nkind: ResourceFlavor\nmetadata: {name: any}\n' | kubectl apply -f - > /dev/null
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
  check "a group in the way is looked at" wait_until 20 did get podgroups
  kubectl delete podgroup grouped > /dev/null
  check "and made, and removed at the end" wait_until 60 did delete podgroups
  check "an object is queued" wait_until 20 eval '[ -n "$(queued_workload)" ]'
  kubectl patch "$(queued_workload)" --subresource=status --type=merge -p "$ADMITTED" > /dev/null
  check "admitted, it runs, and Kueue is told" wait_until 40 did patch workloads
  check "with its flavor" did get resourceflavors
  check "a class of pods is looked at" wait_until 20 did get priorityclasses
  kubectl patch dj queued --type=merge -p '{"spec": {"suspend": true}}' > /dev/null
  check "suspended, it leaves the queue" wait_until 40 did delete workloads
  local suspended
  for suspended in true false true; do
    kubectl patch dj squatted --type=merge -p "{\"spec\": {\"suspend\": $suspended}}" > /dev/null
    check "it rests: $suspended" wait_until 20 eval '[ "$(phase_is dj squatted Suspended && echo true || echo false)" = '$suspended' ]'
  done
  check "an event is told again" wait_until 20 did patch events
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

# An administrator takes the right to create pods away while the operator runs, and gives it back.
pods_ready_is() { [ "$(kubectl get dj "$1" -n "$2" -o 'jsonpath={.status.conditions[?(@.type=="PodsReady")].reason}')" = "$3" ]; }
a_right_comes_back() {  # NAMESPACE
  local role was
  role="$(kubectl get roles -n "$1" -o name | grep muster)"
  kubectl get -n "$1" "$role" -o json > role.json
  python3 - > less.json <<'PY'
import json
role = json.load(open("role.json"))
for rule in role["rules"]:
    if rule["resources"] == ["pods"]:
        rule["verbs"].remove("create")
del role["metadata"]["resourceVersion"]
print(json.dumps(role))
PY
  kubectl replace -f less.json > /dev/null
  write_job job.yaml barred
  kubectl apply -n "$1" -f job.yaml > /dev/null
  check "that a right is lacking is told" wait_until 20 pods_ready_is barred "$1" FailedCreate
  check "with the right" contains <(kubectl get dj barred -n "$1" -o yaml) 'cannot create resource "pods"'
  check "and in an event" wait_until 10 contains <(kubectl get events -n "$1") 'FailedCreate .*barred.*cannot create resource'
  was="$(grep -c '"forbid".*"resource":"pods".*"verb":"create"' audit.log)"
  check "it is not asked for in a loop ($was times)" [ "$was" -le 8 ]
  python3 -c 'import json; role = json.load(open("role.json")); del role["metadata"]["resourceVersion"]; print(json.dumps(role))' > more.json
  kubectl replace -f more.json > /dev/null
  check "once it is back, the job runs to its end" wait_until 60 eval '[ "$(kubectl get dj barred -n '"$1"' -o "jsonpath={.status.phase}")" = Succeeded ]'
  grep -v '"forbid".*"resource":"pods".*"verb":"create"' audit.log > rest.log
  mv rest.log audit-without.log
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
  a_right_comes_back team-b
  check "nothing else was refused" eval '! grep -F "$NS:muster-operator\"" audit-without.log | grep "\"forbid\""'
  check "nor asked elsewhere" eval '! grep -F "$NS:muster-operator\"" audit.log | grep "\"namespace\":\"\(team-c\|default\)\""'
  down
}

run_case rights_are_those_that_are_used 200
run_case a_namespaced_release_stays_in_its_namespaces 120
finish
