#!/usr/bin/env bash
# A node that somebody calls broken, and that nobody evicts pods from, against `muster local up`, which has one node: its pods are replaced,
# uncounted, and wait until it is well again. Needs kubectl.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v kubectl > /dev/null || { skip "there is no kubectl"; exit 77; }

NODE=muster-local
condition_of_node() {  # TYPE STATUS REASON MESSAGE
  kubectl patch node $NODE --subresource=status -p "{\"status\": {\"conditions\": [{\"type\": \"$1\", \"status\": \"$2\", \"reason\": \"$3\",
    \"message\": \"$4\", \"lastTransitionTime\": \"2030-01-01T00:00:00Z\", \"lastHeartbeatTime\": \"2030-01-01T00:00:00Z\"}]}}" > patch.txt
}
field() { kubectl get "$1" "$2" -o "jsonpath=$3" 2> /dev/null; }
field_is() { [ "$(field "$1" "$2" "$3")" = "$4" ]; }
ready_reason_is() { field_is dj sleeper '{.status.conditions[?(@.type=="PodsReady")].reason}' "$1"; }

write_sleeper() {
  cat << YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: sleeper}
spec:
  workers:
    replicas: 2
    template:
      spec:
        terminationGracePeriodSeconds: 1
        affinity:
          nodeAffinity:
            requiredDuringSchedulingIgnoredDuringExecution:
              nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: Exists}]}]
        containers:
        - {name: main, image: "debian:12", command: [sleep, "600"]}
  runPolicy: {maxRestarts: 0}
YAML
}

a_broken_node_is_left_and_taken_again() {
  up || return
  write_sleeper | kubectl apply -f - > apply.txt || fail "apply"
  check "it runs" wait_until 40 field_is dj sleeper '{.status.phase}' Running
  condition_of_node MemoryPressure True KubeletHasInsufficientMemory little || fail "condition: $(cat patch.txt)"
  condition_of_node KernelDeadlock False KernelHasNoDeadlock "kernel has no deadlock"
  check "what the kubelet sees to, or is well, changes nothing" field_is dj sleeper '{.status.incarnation}' 1
  condition_of_node KernelDeadlock True DockerHung "task docker:7 blocked for more than 120 seconds" || fail "condition: $(cat patch.txt)"
  check "the pods are replaced" wait_until 40 field_is dj sleeper '{.status.incarnation}' 2
  check "and wait" wait_until 40 ready_reason_is Unschedulable
  check "uncounted" eval '[ "$(field dj sleeper {.status.restarts})" != 1 ]'
  check "as one disruption" field_is dj sleeper '{.status.disruptions}' 1
  kubectl describe dj sleeper > told.txt
  check "why they were replaced is told" contains told.txt \
    'worker 0 \(sleeper-worker-0\) was disrupted: NodeUnhealthy: node muster-local has KernelDeadlock: task docker:7 blocked'
  check "and why they wait" contains told.txt 'it avoids muster-local, which has KernelDeadlock: task docker:7 blocked'
  check "by their affinity, beside the user's" field_is pod sleeper-worker-1 \
    '{.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values[0]}' $NODE
  check "who keeps his own" field_is pod sleeper-worker-1 \
    '{.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key}' kubernetes.io/hostname
  condition_of_node KernelDeadlock False KernelHasNoDeadlock "kernel has no deadlock"
  check "the node is well again: they run" wait_until 60 field_is dj sleeper '{.status.phase}' Running
  check "the same incarnation" field_is dj sleeper '{.status.incarnation}' 2
  check "and avoid nothing" field_is pod sleeper-worker-1 '{.metadata.annotations.muster\.dev/avoids}' ''
  kubectl taint node $NODE nvidia.com/gpu-error=true:NoSchedule > taint.txt || fail "taint"
  check "a taint is a problem, too" wait_until 40 field_is dj sleeper '{.status.disruptions}' 2
  field dj sleeper '{.status.conditions[?(@.type=="Restarting")].message}' > told.txt
  check "and is told" contains told.txt 'has taint nvidia.com/gpu-error=true:NoSchedule'
  down
}
run_case a_broken_node_is_left_and_taken_again 150

wrong_lists_are_refused_at_the_start() {
  local list
  for list in KernelDeadlock=Bad taint: Ready=False taint:node.kubernetes.io/not-ready 'a b'; do
    "$MUSTER_BIN/muster-operator" --node-problems="$list" > out.txt 2>&1
    check "$list: exit code 1" [ $? = 1 ]
    check "$list: in one line" contains out.txt '^muster-operator: --node-problems: '
  done
}
run_case wrong_lists_are_refused_at_the_start 20
finish
