#!/usr/bin/env bash
# kill -9 in the middle of a run: of a worker, of the operator, of a client of a federation.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# start NAME: a run long enough to be disturbed, its API reachable by kubeconfig in $CONFIG; pid in $RUN
start() {
  "$MUSTER" run job.yaml --output json --verbose > out.json 2> err.txt &
  RUN=$!
  wait_until 30 contains err.txt "$1" > /dev/null || { fail "never saw /$1/: $(tail -5 err.txt)"; kill "$RUN"; wait "$RUN"; return 1; }
  CONFIG="$(sed -n 's/^export KUBECONFIG=//p' err.txt)"
}
# write_long_job [EPOCHS]: 4 steps an epoch that are long enough to compute (some 40 ms) for the disturbance to fall in the middle
write_long_job() {
  write_job job.yaml ring "" 2 "${1:-100}"
  sed -i -e 's/model: {name: softmax}/model: {name: mlp, hidden: [1024, 1024]}/' -e 's/batchSize: 32/batchSize: 128/' job.yaml
}
outcome() { wait "$RUN" || fail "exit code $?: $(tail -8 err.txt)"; }
pod_uids() { "$MUSTER" get pods --kubeconfig "$CONFIG" -o json | python3 -c '
import json, sys
print(sorted((p["metadata"]["name"], p["metadata"]["uid"]) for p in json.load(sys.stdin)["items"]))'; }
steps() {
  "$MUSTER" get dj --kubeconfig "$CONFIG" -o json 2>/dev/null | python3 -c '
import json, sys
print(max([d.get("status", {}).get("progress", {}).get("step", 0) for d in json.load(sys.stdin)["items"]] or [0]))'
}
past_first_checkpoint() { [ "$(steps)" -ge 25 ] 2>/dev/null; }

worker_pids() { processes_named muster-worker | sort; }
all_four() { [ "$(worker_pids | wc -l)" = 4 ] && [ "$("$MUSTER" get dj ring --kubeconfig "$CONFIG" -o json | python3 -c '
import json, sys
status = json.load(sys.stdin)["status"]
print(len(status.get("roster", [])) == 4 and status.get("membership", 0) > 1)')" = True ]; }

one_of_four_is_killed_and_the_others_keep_their_processes() {
  write_job job.yaml ring "" 4 400
  sed -i -e 's/model: {name: softmax}/model: {name: mlp, hidden: [512, 512]}/' job.yaml
  start 'DistributedJob/ring: Running' || return
  wait_until 60 past_first_checkpoint || fail "no step 25"
  local killed kept
  killed="$(worker_pids | head -1)"
  kept="$(worker_pids | tail -3)"
  kill -9 "$killed"
  wait_until 30 all_four || fail "its replacement did not join"
  check "every example counted once an epoch" eval '"$MUSTER" audit ring --kubeconfig "$CONFIG" > audit.txt && contains audit.txt "every example counted once"'
  check "the others go on" [ -z "$(comm -23 <(echo "$kept") <(worker_pids))" ]
  outcome || return
  check "one restart" [ "$(json out.json 'd["objects"][0]["restarts"]')" = 1 ]
  check "equal parameters" [ "$(json out.json 'd["objects"][0]["parametersEqual"]')" = True ]
  check "it is told" contains err.txt 'training goes on with 3 of 4 workers'
}
worker_killed_restarts_once_and_resumes() {
  write_long_job
  start 'DistributedJob/ring: Running' || return
  wait_until 60 past_first_checkpoint || fail "no step 25"
  kill -9 $(processes_named muster-worker | head -1)
  outcome || return
  check "one restart" [ "$(json out.json 'd["objects"][0]["restarts"]')" = 1 ]
  check "equal parameters" [ "$(json out.json 'd["objects"][0]["parametersEqual"]')" = True ]
  check "the pod is told" contains err.txt 'pod ring-worker-[01] failed'
  check "resumed from a checkpoint" contains err.txt 'resumed from step [0-9]*'
}
worker_that_stands_still_is_named_and_replaced_at_once() {
  write_long_job
  start 'DistributedJob/ring: Running' || return
  wait_until 60 past_first_checkpoint || fail "no step 25"
  local frozen
  frozen="$(processes_named muster-worker | head -1)"
  kill -STOP "$frozen"
  wait_until 12 ended "$frozen" || { fail "it is still there after 12 s: 1 s to be named, 1 s of grace"; kill -CONT "$frozen"; }
  outcome || return
  check "no restart is counted" [ "$(json out.json 'd["objects"][0]["restarts"]')" = 0 ]
  check "equal parameters" [ "$(json out.json 'd["objects"][0]["parametersEqual"]')" = True ]
  check "the worker is named" contains err.txt 'worker [01] stands still'
}
operator_killed_is_restarted_and_starts_no_second_pod() {
  write_long_job 250
  start 'DistributedJob/ring: Running' || return
  wait_until 60 past_first_checkpoint || fail "no step 25"
  local before after old
  before="$(pod_uids)"
  old="$(processes_named muster-operator)"
  kill -9 $old
  wait_until 15 eval '[ -n "$(processes_named muster-operator)" ] && [ "$(processes_named muster-operator)" != "$old" ]' ||
    fail "the operator did not come back"
  after="$(pod_uids)"
  check "the same pods" [ "$before" = "$after" ]
  outcome || return
  check "no restart" [ "$(json out.json 'd["objects"][0]["restarts"]')" = 0 ]
  check "equal parameters" [ "$(json out.json 'd["objects"][0]["parametersEqual"]')" = True ]
}
killed_too_often_fails_with_the_reason() {
  write_job job.yaml ring "" 2 100000
  printf '  runPolicy: {maxRestarts: 0}\n' >> job.yaml
  start 'DistributedJob/ring: Running' || return
  kill -9 $(processes_named muster-worker | head -1)
  wait "$RUN"
  check "exit code" [ $? = 1 ]
  check "why" contains err.txt 'DistributedJob/ring failed: .*[Rr]estart'
}

run_case one_of_four_is_killed_and_the_others_keep_their_processes 250
run_case worker_killed_restarts_once_and_resumes 250
run_case worker_that_stands_still_is_named_and_replaced_at_once 250
run_case operator_killed_is_restarted_and_starts_no_second_pod 250
run_case killed_too_often_fails_with_the_reason 60
finish
