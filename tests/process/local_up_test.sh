#!/usr/bin/env bash
# `muster local up` with muster's own verbs and with stock kubectl, where there is one.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

phase_is() { [ "$("$MUSTER" get "$1" "$2" -o json 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin).get("status",{}).get("phase"))' 2>/dev/null)" = "$3" ]; }

second_one_is_refused_with_the_address_of_the_first() {
  up || return
  timeout 10 "$MUSTER" local up > second.txt 2> second.err
  check "exit code" [ $? = 3 ]
  check "address" contains second.err "runs already at https://127.0.0.1:[0-9]+"
  down
  up || return  # and what a finished one leaves does not count
  down
}
verbs_find_it_without_a_kubeconfig() {
  up || return
  unset KUBECONFIG
  check "get" "$MUSTER" get dj > get.txt 2> get.err
  check "version" contains <("$MUSTER" version 2>&1) 'server v1'
  timeout 5 "$MUSTER" describe dj nowhere > out.txt 2> err.txt
  check "not found: exit code" [ $? = 1 ]
  check "not found: message" contains err.txt 'nowhere.* not found'
  timeout 5 "$MUSTER" logs nowhere > out.txt 2> err.txt
  check "no logs: exit code" [ $? = 1 ]
  check "no logs: message" contains err.txt "no job and no pod 'nowhere'"
  down
}
kubectl_works_on_our_kinds() {
  command -v kubectl > /dev/null || { skip "kubectl is not on PATH"; return; }
  up || return
  write_job job.yaml ring "" 2 60
  check "apply" kubectl apply -f job.yaml > apply.txt 2>&1
  check "created" contains apply.txt 'distributedjob.muster.dev/ring created'
  command timeout $((60 * MUSTER_TIMEOUT_FACTOR)) kubectl get dj ring -w > watch.txt 2>&1 & local watch=$!
  check "logs -f of a pod" wait_until 20 eval 'timeout 60 kubectl logs -f ring-worker-0 > logs.txt 2>&1 && [ -s logs.txt ]'
  check "wait" kubectl wait --for=condition=Succeeded dj/ring --timeout=60s > wait.txt 2>&1
  check "table" contains <(kubectl get dj) 'NAME +PHASE +READY'
  check "row" contains <(kubectl get dj) 'ring +Succeeded +0/2 +Completed'
  check "pods" contains <(kubectl get pods) 'ring-worker-1 .*Completed'
  check "describe" contains <(kubectl describe dj ring) 'Succeeded'
  check "our get says the same" contains <("$MUSTER" get dj) 'ring +Succeeded'
  check "our describe" contains <("$MUSTER" describe dj ring) 'Pods:'
  check "our logs are prefixed" contains <("$MUSTER" logs ring) '^\[worker-1\] '
  check "one rank only" [ "$("$MUSTER" logs ring --rank 0 | grep -c '^\[worker-1\]')" = 0 ]
  check "yaml" contains <("$MUSTER" get dj ring -o yaml) '^kind: DistributedJob'
  "$MUSTER" plot dj/ring -o ring.svg
  check "plot" contains ring.svg '</svg>'
  kill "$watch" 2>/dev/null; wait "$watch" 2>/dev/null
  check "the watch saw it run" contains watch.txt 'ring +Running'
  check "delete" timeout 20 kubectl delete dj ring > delete.txt 2>&1
  check "its pods go, too" wait_until 10 eval '[ -z "$(kubectl get pods -o name 2>/dev/null)" ]'
  down
}
ending_it_ends_the_pods() {
  up || return
  write_job job.yaml long "" 2 100000
  if command -v kubectl > /dev/null; then
    check "apply" kubectl apply -f job.yaml > /dev/null
    check "it runs" wait_until 30 phase_is dj long Running
    check "status: a tree" contains <("$MUSTER" status long) 'worker 1 +long-worker-1 +Running'
    check "top" contains <("$MUSTER" top -A) 'default +long +DistributedJob +Running'
    check "suspend" contains <("$MUSTER" suspend long) 'DistributedJob/long suspended'
    check "it is suspended" wait_until 30 phase_is dj long Suspended
    check "resume" contains <("$MUSTER" resume dj/long) 'DistributedJob/long resumed'
    check "it runs again" wait_until 60 phase_is dj long Running
    check "no such job" contains <("$MUSTER" suspend nobody 2>&1) "no job 'nobody' in namespace 'default'"
  else
    skip "the pods: kubectl is not on PATH"
  fi
  down
}

run_case second_one_is_refused_with_the_address_of_the_first 40
run_case verbs_find_it_without_a_kubeconfig 30
run_case kubectl_works_on_our_kinds 150
run_case ending_it_ends_the_pods 120
finish
