#!/usr/bin/env bash
# Groups of pods that a scheduler places together, against `muster local up`, whose scheduler knows none: what is made, when it goes, and an
# API that is installed later. Needs kubectl.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v kubectl > /dev/null || { skip "there is no kubectl"; exit 77; }

write_crd() {  # GROUP VERSION PLURAL KIND
  cat << YAML
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: $3.$1
  annotations: {api-approved.kubernetes.io: "unapproved, for a test"}
spec:
  group: $1
  names: {kind: $4, listKind: $4List, plural: $3, singular: ${4,,}}
  scope: Namespaced
  versions:
  - name: $2
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
YAML
}
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

run_case a_gang_waits_for_its_api_and_has_a_group_until_it_ends 240
run_case a_group_of_somebody_else_is_not_touched 120
finish
