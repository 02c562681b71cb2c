#!/usr/bin/env bash
# Programs of a user's own in a job (spec.training.program): C and PyTorch, killed, wrong, alone.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_library 'torch'

# write_program_job COMMAND [TRAINING] [REST]: three workers; COMMAND is a JSON list
write_program_job() {
  cat > job.yaml <<EOF
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: own}
spec:
  workers:
    replicas: 3
    template:
      spec:
        containers:
        - name: worker
          image: example.org/own:1
          command: $1
          env: [{name: STEP_SECONDS, value: "${STEP_SECONDS:-0}"}]
          volumeMounts: [{name: checkpoints, mountPath: /checkpoints}]
        volumes: [{name: checkpoints, persistentVolumeClaim: {claimName: own}}]
  training:
    program: {}
    batchSize: 16
    epochs: 20
    checkpoint: {path: /checkpoints, everySteps: 20}
    ${2:-}
${3:-}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: own}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
EOF
}
# A line through 512 points, by PyTorch; with batch norm, so that a joiner needs more than parameters.
write_line() {
  cat > line.py <<'EOF'
import os, sys, time, torch, muster
torch.manual_seed(0)
x = torch.randn(512, 3); y = x @ torch.tensor([2., -1., .5]) + 3
torch.manual_seed(int(os.environ["MUSTER_INDEX"]) if "MUSTER_INDEX" in os.environ else 0)  # rank 0's parameters are the job's
model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
base = torch.optim.AdamW(model.parameters(), 0.05)
job = muster.init()
opt = muster.Optimizer(base, model)
for a, b in job.batches((x, y), batch_size=16, epochs=20):
    time.sleep(float(os.environ.get("STEP_SECONDS", 0)))
    loss = ((model(a)[:, 0] - b) ** 2).mean()
    loss.backward()
    opt.step()
    opt.zero_grad()
    job.report(loss=loss)
job.report(accuracy=0.5)
print("rank", job.rank, "of", job.size, "loss", loss.item(), "steps", job.step)
EOF
}
field() { json out.json "d['objects'][0]$1"; }
run() { timeout "$1" "$MUSTER" run job.yaml --output json --verbose > out.json 2> err.txt; }

c_program_trains_alone_and_in_a_job() {
  command -v cc > /dev/null || { skip "no C compiler"; return; }
  cc -O1 -I "$SOURCE/worker/program" "$SOURCE/examples/programs/linear.c" -L "$MUSTER_LIBRARY_FOLDER" -lmuster_worker -lm -o linear 2> cc.txt ||
    { fail "the example does not compile: $(cat cc.txt)"; return; }
  ./linear > alone.txt || fail "alone: exit code $?"
  check "a step for each of 64 examples" contains alone.txt '^step 8: y ='
  PATH="$PWD:$PATH" timeout 60 "$MUSTER" run "$SOURCE/examples/programs/linear-in-c.yaml" --output json > out.json 2> err.txt || fail "exit code $?: $(tail -5 err.txt)"
  check "all steps" [ "$(field '["history"][-1]["at"]')" = 220 ]
  check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
  check "bytes by the formula" [ "$(field '["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"]')" = True ]
  check "a small loss" [ "$(field '["history"][-1]["loss"] < 1e-3')" = True ]
  check "a model" test -s muster-out/linear-in-c/model.safetensors
}
torch_program_trains_alone() {
  write_line
  "$PYTHON" line.py > alone.txt 2>&1 || fail "exit code $?: $(tail -3 alone.txt)"
  check "all steps" contains alone.txt 'rank 0 of 1 .* steps 640'
}
# start_line [STEPS]: a run that is long enough to be disturbed, past step 25, with a checkpoint every 20 STEPS
start_line() {
  write_line
  STEP_SECONDS=0.02 write_program_job "[$PYTHON, $PWD/line.py]"
  sed -i "s/everySteps: 20/everySteps: ${1:-20}/" job.yaml
  "$MUSTER" run job.yaml --output json --verbose > out.json 2> err.txt &
  RUN=$!
  wait_until 30 contains err.txt 'DistributedJob/own: Running' > /dev/null || fail "never ran: $(tail -3 err.txt)"
  CONFIG="$(sed -n 's/^export KUBECONFIG=//p' err.txt)"
  wait_until 60 past_first_checkpoint || fail "no step 25: $(tail -3 err.txt)"
}
one_of_three_is_killed_and_the_others_keep_their_processes() {
  start_line
  local pids killed kept
  pids="$(python_pids)"
  killed="$(echo "$pids" | tail -1)"
  kept="$(echo "$pids" | head -2)"
  kill -9 "$killed"
  wait_until 30 all_three || fail "its replacement did not start"
  check "the others go on" [ -z "$(comm -23 <(echo "$kept") <(python_pids))" ]
  wait $RUN || fail "exit code $?: $(tail -5 err.txt)"
  check "one restart" [ "$(field '["restarts"]')" = 1 ]
  check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
  check "it is told" contains err.txt 'training goes on with 2 of 3 workers'
}
past_first_checkpoint() { [ "$("$MUSTER" get dj own --kubeconfig "$CONFIG" -o json 2> /dev/null | python3 -c '
import json, sys
print(json.load(sys.stdin).get("status", {}).get("progress", {}).get("step", 0))')" -ge 25 ] 2> /dev/null; }
python_pids() {
  local pid
  for pid in $(marked); do { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2> /dev/null | grep -q '^[^ ]*python[^ ]* [^ ]*line.py' && echo "$pid"; done | sort
}
all_three() { [ "$(python_pids | wc -l)" = 3 ]; }

a_worker_beside_a_program_is_killed() {
  start_line
  kill -9 "$(processes_named muster-worker | head -1)"
  wait $RUN || fail "exit code $?: $(tail -5 err.txt)"
  check "one restart" [ "$(field '["restarts"]')" = 1 ]
  check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
  check "the program says so" contains err.txt 'the worker beside this program is gone'
}
suspended_it_saves_its_last_step_and_resumes_from_it() {
  start_line 1000
  "$MUSTER" suspend own --kubeconfig "$CONFIG" > /dev/null || fail "not suspended"
  wait_until 20 no_programs || fail "its pods are still there"
  "$MUSTER" resume own --kubeconfig "$CONFIG" > /dev/null || fail "not resumed"
  wait $RUN || fail "exit code $?: $(tail -5 err.txt)"
  check "no restart" [ "$(field '["restarts"]')" = 0 ]
  check "all steps" [ "$(field '["history"][-1]["at"]')" = 220 ]
  check "it was asked, and saved a step that was not due" contains err.txt 'resumed from step [0-9]+'
}
no_programs() { [ -z "$(python_pids)" ]; }
gradients_that_are_told_early_change_no_bit() {
  cat > large.py <<'EOF'
import os, torch, muster
torch.manual_seed(0)
x = torch.randn(256, 700); y = torch.randint(0, 10, (256,))
model = torch.nn.Sequential(torch.nn.Linear(700, 600), torch.nn.Tanh(), torch.nn.Linear(600, 500), torch.nn.Linear(500, 10))
job = muster.init()
opt = muster.Optimizer(torch.optim.SGD(model.parameters(), 0.05), model, overlap=os.environ["STEP_SECONDS"] == "1")
told = []
tell = opt._backward._tell
opt._backward._tell = lambda number: (told.append(number), tell(number))
for a, b in job.batches((x, y)):
    torch.nn.functional.cross_entropy(model(a), b).backward()
    opt.step()
    opt.zero_grad()
if job.rank == 0:
    print("told", len(told), "of", 6 * job.step, file=open(os.path.dirname(os.path.abspath(__file__)) + "/told", "w"))
EOF
  local early
  for early in 1 0; do
    STEP_SECONDS=$early write_program_job "[$PYTHON, $PWD/large.py]" "" "  synchronization: {topology: Ring}"
    sed -i 's/epochs: 20/epochs: 3/' job.yaml
    rm -rf muster-out
    run 90 || fail "exit code $?: $(tail -5 err.txt)"
    check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
    check "bytes by the formula" [ "$(field '["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"]')" = True ]
    cp muster-out/own/model.safetensors "model.$early"
    mv told "told.$early"
  done
  check "all but the watched steps are told: $(cat told.1)" contains told.1 '^told [1-9][0-9]* of'
  check "nothing is: $(cat told.0)" contains told.0 '^told 0 of'
  check "the same bits" cmp model.1 model.0
}
parameter_servers_make_the_steps() {
  write_line
  write_program_job "[$PYTHON, $PWD/line.py]" "optimizer: {name: AdamW, learningRate: 0.05, weightDecay: 0.01}" "  synchronization: {topology: ParameterServer, parameterServers: {shards: 2}}"
  run 60 || fail "exit code $?: $(tail -5 err.txt)"
  check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
  check "a small loss" [ "$(field '["history"][-1]["loss"] < 0.5')" = True ]
  check "what the program measured" [ "$(field '["accuracy"]')" = 0.5 ]
  sed -i 's/learningRate: 0.05/learningRate: 0.04/' job.yaml
  rm -rf muster-out
  run 60 && fail "another optimizer was taken"
  check "what differs is named" contains err.txt 'where learningRate is 0.04, at the program.s optimizer 0.05'
}
wrong_programs_end_the_job_in_words() {
  write_line
  sed 's/torch.nn.Linear(3, 1)/torch.nn.Linear(3, 1, bias=os.environ.get("MUSTER_INDEX") != "2")/' line.py > apart.py
  write_program_job "[$PYTHON, $PWD/apart.py]"
  run 60 && fail "models that differ were taken"
  check "both hashes and the tensor" contains err.txt 'model with the hash [0-9a-f]{16}, that of rank [12] one with [0-9a-f]{16}: parameter 3 is 1.bias float32 \[1\] there and nothing here'
  sed 's/^    loss.backward/    if job.step == 3 and job.rank == 1: raise ValueError("my own mistake")\n    loss.backward/' line.py > raises.py
  write_program_job "[$PYTHON, $PWD/raises.py]" "" "  runPolicy: {maxRestarts: 0}"
  run 60 && fail "an exception was no failure"
  check "the exception is the pod's last words" contains err.txt 'ValueError: my own mistake'
  write_program_job "[$PYTHON, -c, 'print(1)']" "" "  runPolicy: {maxRestarts: 0}"
  run 60 && fail "a program that does not train was a success"
  check "a program that does not train" contains err.txt 'SuccessWithoutTraining: .* a program is done when job.batches is'
}

python_submits_a_job_where_no_cluster_is() {
  cat > submit.py <<'EOF'
import json, muster
job = {"apiVersion": "muster.dev/v1alpha1", "kind": "DistributedJob", "metadata": {"name": "small"},
       "spec": {"workers": {"replicas": 2}, "training": {"model": {"name": "softmax"}, "dataset": {"name": "synthetic"}, "epochs": 1500}}}
run = muster.submit(job)
while run.status.get("progress", {}).get("step", 0) < 1:
    pass
run.scale(3)
while len(run.status.get("roster", [])) < 3 and run.status.get("phase") != "Succeeded":
    pass
status = run.wait(timeout=100)
print("phase", status["phase"], "restarts", status.get("restarts", 0), "ranks", len(status["roster"]))
print(run.logs(0))
try:
    muster.submit(job)
except muster.Error as error:
    print("again:", error)
run.delete()
EOF
  HOME="$PWD" PATH="$MUSTER_BIN:$PATH" timeout 130 python3 submit.py > out.txt 2>&1 || fail "exit code $?: $(tail -5 out.txt)"
  check "it has succeeded" contains out.txt '^phase Succeeded restarts 0 ranks 3'
  check "the log of rank 0" contains out.txt 'info worker: done step='
  check "a job that exists is no new one" contains out.txt '^again: muster.submit: .*already exists'
}

run_case c_program_trains_alone_and_in_a_job 90
run_case python_submits_a_job_where_no_cluster_is 150
if [ -z "$PYTHON" ]; then
  skip "the cases with PyTorch: no python3 here has torch; ./dev setup installs Debian's python3-torch"
else
  run_case torch_program_trains_alone 60
  run_case one_of_three_is_killed_and_the_others_keep_their_processes 120
  run_case a_worker_beside_a_program_is_killed 120
  run_case suspended_it_saves_its_last_step_and_resumes_from_it 120
  run_case gradients_that_are_told_early_change_no_bit 120
  run_case parameter_servers_make_the_steps 120
  run_case wrong_programs_end_the_job_in_words 150
fi
finish
