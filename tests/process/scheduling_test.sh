#!/usr/bin/env bash
# Groups of pods that a scheduler places together, and queues, against `muster local up`, which knows neither: what is made, when it goes, an API
# that is installed later. Kueue's part is played with kubectl. Needs kubectl.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v kubectl > /dev/null || { skip "there is no kubectl"; exit 77; }

write_sleeper() {  # NAME SECONDS GANG
  cat << YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: $1}
spec:
  scheduling: {gang: $3}
  workers:
    replicas: 2
    template:
      spec:
        containers:
        - {name: main, image: "debian:12", command: [sleep, "$2"]}
YAML
}
condition() { kubectl get dj "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].reason}"; }
condition_is() { [ "$(condition "$1" "$2")" = "$3" ]; }
field_is() { [ "$(kubectl get "$1" "$2" -o "jsonpath=$3" 2>/dev/null)" = "$4" ]; }
gone() { ! kubectl get "$1" "$2" > /dev/null 2>&1; }

PODGROUPS=podgroups.scheduling.x-k8s.io
a_gang_waits_for_its_api_and_has_a_group_until_it_ends() {
  up || return
  write_sleeper early 300 SchedulerPlugins | kubectl apply -f - > apply.txt || fail "apply"
  check "no pods without the API" wait_until 20 condition_is early GangScheduled NotServed
  check "and none is there" [ -z "$(kubectl get pods -o name)" ]
  check "what to do is said" contains <(kubectl describe dj early) 'install scheduler-plugins'
  write_sleeper simple 1 Auto | kubectl apply -f - > apply.txt || fail "apply"
  check "Auto runs without" kubectl wait --for=condition=Succeeded dj/simple --timeout=60s > wait.txt 2>&1
  write_crd scheduling.x-k8s.io v1alpha1 podgroups PodGroup | kubectl apply -f - > crd.txt || fail "CRD"
  check "it is noticed" wait_until 40 field_is dj early '{.status.phase}' Running
  check "the group has its size" field_is $PODGROUPS early '{.spec.minMember}' 2
  check "and its owner" field_is $PODGROUPS early '{.metadata.ownerReferences[0].name}' early
  check "pods name it" field_is pod early-worker-1 '{.metadata.labels.scheduling\.x-k8s\.io/pod-group}' early
  check "it is told" wait_until 10 condition_is early GangScheduled Scheduled
  kubectl patch $PODGROUPS early --subresource=status --type=merge -p '{"status":{"phase":"Running"}}' > patch.txt || fail "status"
  check "with the group's words" wait_until 10 contains <(kubectl get dj early -o yaml) 'group early \(SchedulerPlugins\)'
  kubectl scale dj early --replicas=3 > scale.txt || fail "scale"
  check "a group of the new size" wait_until 60 field_is $PODGROUPS early '{.spec.minMember}' 3
  check "it runs again" wait_until 60 field_is dj early '{.status.ready}' 3/3
  kubectl patch dj early --type=merge -p '{"spec":{"suspend":true}}' > suspend.txt || fail "suspend"
  check "no group while suspended" wait_until 30 gone $PODGROUPS early
  check "and none is told" wait_until 10 condition_is early GangScheduled Suspended
  kubectl delete dj early --timeout=60s > delete.txt || fail "delete"
  write_sleeper late 1 Auto | kubectl apply -f - > apply.txt || fail "apply"
  check "Auto takes what is there now" wait_until 30 field_is $PODGROUPS late '{.spec.minMember}' 2
  check "it ends" kubectl wait --for=condition=Succeeded dj/late --timeout=60s > wait.txt 2>&1
  check "its group goes" wait_until 20 gone $PODGROUPS late
  down
}
a_group_of_somebody_else_is_not_touched() {
  up || return
  write_crd scheduling.x-k8s.io v1alpha1 podgroups PodGroup | kubectl apply -f - > crd.txt || fail "CRD"
  wait_until 20 kubectl get $PODGROUPS > /dev/null 2>&1
  printf 'apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: taken}\nspec: {minMember: 9}\n' | kubectl apply -f - > group.txt
  write_sleeper taken 1 Auto | kubectl apply -f - > apply.txt || fail "apply"
  check "the name is taken" wait_until 20 condition_is taken PodsReady NameConflict
  check "by whom is said" contains <(kubectl describe dj taken) 'PodGroup default/taken exists and belongs to nobody'
  check "it stays" field_is $PODGROUPS taken '{.spec.minMember}' 9
  kubectl delete $PODGROUPS taken > delete.txt || fail "delete"
  check "then it runs" kubectl wait --for=condition=Succeeded dj/taken --timeout=60s > wait.txt 2>&1
  down
}

WORKLOADS=workloads.kueue.x-k8s.io
write_queued() {  # NAME SECONDS
  write_sleeper "$1" "$2" None | sed "s|^metadata:.*|metadata: {name: $1, labels: {kueue.x-k8s.io/queue-name: team}}|"
}
workload() { kubectl get $WORKLOADS -o 'jsonpath={.items[*].metadata.name}'; }
conditions() {  # TYPE=STATUS...: a merge patch of status.conditions, with those that the Workload has already
  python3 - "$(kubectl get $WORKLOADS "$(workload)" -o 'jsonpath={.status.conditions}')" "$@" << 'PY'
import json, sys
by_type = {each["type"]: each for each in json.loads(sys.argv[1] or "[]")}
for word in sys.argv[2:]:
    kind, status = word.split("=")
    by_type[kind] = {"type": kind, "status": status, "reason": "Preempted" if kind == "Evicted" else kind, "message": f"{kind} by the test",
                     "lastTransitionTime": "2030-01-01T00:00:00Z"}
print(json.dumps(list(by_type.values())))
PY
}
tell() {  # EXTRA FIELDS OF status TYPE=STATUS...: as Kueue's controllers do
  kubectl patch $WORKLOADS "$(workload)" --subresource=status --type=merge -p "{\"status\":{$1\"conditions\":$(conditions "${@:2}")}}" > patch.txt || fail "Kueue's write"
}
admit() {
  tell '"admission":{"clusterQueue":"research","podSetAssignments":[{"name":"worker","count":2,"flavors":{"cpu":"spot"}}]},' \
    QuotaReserved=True Admitted=True Evicted=False
}
workload_says() { [ "$(kubectl get $WORKLOADS "$(workload)" -o "jsonpath={.status.conditions[?(@.type==\"$1\")].status}")" = "$2" ]; }
has_workload() { [ -n "$(workload)" ]; }
no_pods() { [ -z "$(kubectl get pods -o name)" ]; }
a_queued_job_runs_when_it_is_admitted_and_gives_way_when_it_is_evicted() {
  up || return
  write_queued queued 300 | kubectl apply -f - > apply.txt || fail "apply"
  check "without Kueue it does not run" wait_until 20 condition_is queued PodsReady QueueUnavailable
  check "and has no pods" no_pods
  for what in workloads/Workload resourceflavors/ResourceFlavor/Cluster; do
    write_crd kueue.x-k8s.io v1beta2 ${what//\// } | kubectl apply -f - > crd.txt || fail "CRD"
  done
  wait_until 20 kubectl get resourceflavors > /dev/null 2>&1
  printf 'apiVersion: kueue.x-k8s.io/v1beta2\nkind: ResourceFlavor\nmetadata: {name: spot}\nspec: {tolerations: [{key: spot, operator: Exists}]}\n' |
    kubectl apply -f - > flavor.txt || fail "flavor"
  check "Kueue is noticed" wait_until 40 has_workload
  check "it is queued" wait_until 10 condition_is queued PodsReady Queued
  check "with its pods" field_is $WORKLOADS "$(workload)" '{.spec.podSets[0].count}' 2
  check "still without them" no_pods
  admit
  check "admitted, it runs" wait_until 30 field_is dj queued '{.status.phase}' Running
  check "with the flavor's toleration" field_is pod queued-worker-1 '{.spec.tolerations[?(@.key=="spot")].operator}' Exists
  check "Kueue is told" wait_until 20 workload_says PodsReady True
  tell '' Evicted=True
  check "evicted, its pods go" wait_until 60 no_pods
  check "the quota is given back" wait_until 20 workload_says QuotaReserved False
  check "all of it" field_is $WORKLOADS "$(workload)" '{.status.admission}' ''
  check "it waits" condition_is queued PodsReady Evicted
  check "uncounted" field_is dj queued '{.status.restarts}{.status.disruptions}' ''
  admit
  check "it runs again" wait_until 30 field_is dj queued '{.status.ready}' 2/2
  kubectl delete $WORKLOADS "$(workload)" > delete.txt || fail "delete"
  check "without its Workload its pods go" wait_until 60 no_pods
  check "and it is queued anew" wait_until 20 has_workload
  kubectl delete dj queued --timeout=60s > delete.txt || fail "delete"
  check "its Workload goes with it" wait_until 20 eval '! has_workload'
  write_queued short 1 | kubectl apply -f - > apply.txt || fail "apply"
  check "the next one waits" wait_until 20 has_workload
  admit
  check "it runs to its end" kubectl wait --for=condition=Succeeded dj/short --timeout=60s > wait.txt 2>&1
  check "which Kueue is told" wait_until 20 workload_says Finished True
  down
}

run_case a_gang_waits_for_its_api_and_has_a_group_until_it_ends 240
run_case a_group_of_somebody_else_is_not_touched 120
run_case a_queued_job_runs_when_it_is_admitted_and_gives_way_when_it_is_evicted 240
finish
