#!/usr/bin/env bash
# Programs of a user's own as the clients of a FederatedRound, and with a training loop of their own on the backend of c10d.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_library 'torch, numpy'
[ -n "$PYTHON" ] || { skip "no python3 here has torch and numpy; ./dev setup installs Debian's python3-torch"; exit 77; }

# write_round PROGRAM [ROUNDS] [REST]: six clients in two pods
write_round() {
  cat > round.yaml <<EOF
apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: own}
spec:
  rounds: ${2:-4}
  training: {program: {}, optimizer: {learningRate: 0.1}}
  strategy: {name: FedProx, mu: 0.25}
  cohort: {size: 6, minimum: ${MINIMUM:-1}, maxExamplesPerClient: 1000}
  stragglers: {deadlineSeconds: ${DEADLINE:-30}, policy: Drop}
  aggregator:
    storage: {path: /models}
    template:
      spec:
        containers: [{name: aggregator, volumeMounts: [{name: models, mountPath: /models}]}]
        volumes: [{name: models, persistentVolumeClaim: {claimName: own}}]
  clients:
    count: 6
    perPod: 3
    template: {spec: {containers: [{name: client, image: "example.org/own:1", command: [$PYTHON, $PWD/$1],
      env: [{name: PYTHONPATH, value: "$PYTHONPATH:$PWD"}, {name: NOTES, value: "$PWD"}]}]}}
${3:-}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: own}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
EOF
}
# Least squares in NumPy, of float64 and of a whole number that is to stay one.
write_clients() {
  cat > clients.py <<'EOF'
import numpy, muster

def part_of(client):
    draw = numpy.random.default_rng(client)
    x = draw.normal(size=(10 + 10 * client, 3))
    return x, x @ numpy.array([2.0, -1.0, 0.5])

@muster.client
def train(model, data, round):
    x, y = data
    came = model["w"].copy()
    mu, rate = round.config["mu"], round.config["learning_rate"]
    for _ in range(5):
        model["w"] -= rate * (2 * (x @ model["w"] - y) @ x / len(x) + mu * (model["w"] - came))
    model["rounds"] += 1
    return muster.Update(model, examples=len(x), loss=float(((x @ model["w"] - y) ** 2).mean()), accuracy=0.5)

def model():
    return {"w": numpy.zeros(3), "rounds": numpy.array([40])}

if __name__ == "__main__":
    done = muster.serve(train, model, part_of, clients=6, rounds=4, config={"mu": 0.25, "learning_rate": 0.1})
    if done:
        numpy.save("alone.npy", done.model["w"])
        print("alone", done.model["rounds"], done.history[-1].loss)
EOF
}
field() { json out.json "d['objects'][0]$1"; }
run() { timeout "$1" "$MUSTER" run "${2:-round.yaml}" --output json --verbose > out.json 2> err.txt; }
weights() {  # FILE TENSOR: its values
  "$PYTHON" - "$1" "$2" <<'EOF'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
begin, end = json.loads(data[8 : 8 + size])[sys.argv[2]]["data_offsets"]
print(*struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin : 8 + size + end]))
EOF
}

the_same_file_alone_and_in_pods_gives_one_model() {
  write_clients
  "$PYTHON" clients.py > alone.txt || fail "alone: exit code $?"
  check "a whole number stays one" contains alone.txt '^alone \[44\]'
  write_round clients.py
  run 60 || fail "exit code $?: $(tail -5 err.txt)"
  check "all rounds" [ "$(field '["history"][-1]["at"]')" = 4 ]
  check "what the clients measured" [ "$(field '["accuracy"]')" = 0.5 ]
  weights muster-out/own/model.safetensors w > pods.txt
  "$PYTHON" -c '
import numpy
numpy.testing.assert_allclose(numpy.loadtxt("pods.txt"), numpy.load("alone.npy"), rtol=1e-5)' || fail "another model: $(cat pods.txt)"
  check "a whole number" [ "$(weights muster-out/own/model.safetensors rounds)" = 44.0 ]
}
examples_reach_their_targets() {
  local example
  mkdir bin; ln -s "$PYTHON" bin/python3
  for example in torch sklearn; do
    [ $example = torch ] || "$PYTHON" -c 'import sklearn' 2> /dev/null || { skip "federated-sklearn.yaml: $PYTHON has no scikit-learn"; continue; }
    PATH="$PWD/bin:$PATH" PYTHONPATH="$PYTHONPATH:$SOURCE/examples/programs" run 90 "$SOURCE/examples/programs/federated-$example.yaml" || fail "$example: exit code $?: $(tail -5 err.txt)"
    check "$example: its target" [ "$(field '["accuracy"] > 0.9')" = True ]
  done
}
an_exception_is_the_last_word_and_the_others_go_on() {
  write_clients
  cat > raises.py <<'EOF'
import os, clients, muster
def train(model, data, round):
    note = os.environ["NOTES"] + "/raised"
    if round.client == 4 and not os.path.exists(note):
        open(note, "w").close()
        raise ValueError("my own mistake")
    return clients.train(model, data, round)
muster.serve(train, clients.model, clients.part_of)
EOF
  DEADLINE=20 write_round raises.py 5
  run 90 || fail "exit code $?: $(tail -5 err.txt)"
  check "the federation goes on" [ "$(field '["history"][-1]["at"]')" = 5 ]
  check "the pod's last words" contains err.txt 'ValueError: my own mistake'
  check "it is replaced" contains err.txt 'ClientsReplaced: replacing 1 client pods; client 1 .* exited with code 1'
}
a_program_that_hangs_or_is_killed_costs_its_updates() {
  write_clients
  cat > hangs.py <<'EOF'
import os, signal, time, clients, muster
def train(model, data, round):
    note = os.environ["NOTES"] + "/hung"
    if os.environ["MUSTER_INDEX"] == "1" and not os.path.exists(note):
        open(note, "w").close()
        time.sleep(3600)
    if os.environ["MUSTER_INDEX"] == "0" and round.number == 3 and not os.path.exists(note + "2"):
        open(note + "2", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return clients.train(model, data, round)
muster.serve(train, clients.model, clients.part_of)
EOF
  MINIMUM=2 DEADLINE=1 write_round hangs.py 6
  run 90 || fail "exit code $?: $(tail -5 err.txt)"
  check "the rounds go on without it" [ "$(field '["history"][-1]["at"]')" = 6 ]
}
wrong_clients_are_refused_in_words() {
  write_clients
  cat > apart.py <<'EOF'
import os, clients, muster, numpy
wrong = os.environ["MUSTER_INDEX"] == "1"
make = lambda: {"w": numpy.zeros(4 if wrong else 3), "rounds": numpy.array([40])}
muster.serve(clients.train, make, clients.part_of)
EOF
  MINIMUM=6 write_round apart.py
  run 60 && fail "models that differ were taken"
  check "both hashes and the tensor" contains err.txt 'client pod [01] has a model with the hash [0-9a-f]{16}, that of client pod [01] one with [0-9a-f]{16}: parameter 0 is w float64 \[[34]\] there and w float64 \[[34]\] here'
  sed 's/    return muster.Update(model,/    model["w"] = numpy.full(2 if round.client == 1 else 3, numpy.nan)\n&/' clients.py > nan.py
  rm -rf muster-out
  MINIMUM=6 write_round nan.py 2 "  runPolicy: {maxRestarts: 0}"
  run 60 && fail "updates that are none were taken"
  check "the shape, or values that are none" contains err.txt 'client [0-9]: (w has (the shape \[2\], not \[3\]|values that are not finite)|loss of muster.Update is nan)'
  echo 'import muster; muster.init()' > job.py
  rm -rf muster-out
  MINIMUM=6 write_round job.py 2 "  runPolicy: {maxRestarts: 0}"
  run 60 && fail "a job's program was taken for clients"
  check "what to call" contains err.txt 'for the clients of a FederatedRound it calls muster.serve\(\)'
}

# write_group "PROGRAM..." [REST]: three workers; what each says is in said-<index>.txt, also of its earlier pods
write_group() {
  cat > group.yaml <<EOF
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: group}
spec:
  workers: {replicas: 3, template: {spec: {containers: [{name: worker, image: "example.org/own:1", command: [bash, -c, "exec $PYTHON $1 >> $PWD/said-\$MUSTER_INDEX.txt 2>&1"]}]}}}
  training: {program: {}}
  synchronization: {topology: Ring, timeoutSeconds: 30}
  ${2:-}
EOF
}
a_stock_ddp_script_has_the_collectives() {
  write_group "$SOURCE/examples/programs/ddp.py"
  run 90 group.yaml || fail "exit code $?: $(tail -5 err.txt)"
  check "three ranks with the same parameters" [ "$(grep -ohE 'rank [012] of 3 is done, its parameters add up to .*' said-*.txt | sed 's/.*to //' | sort | uniq -c | awk '{print $1}')" = 3 ]
  check "bytes by the formula" [ "$(field '["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"] > 1000000')" = True ]
  cat > ops.py <<'EOF'
import torch, torch.distributed as dist, muster.c10d
dist.init_process_group("muster")
rank, size = dist.get_rank(), dist.get_world_size()
assert size == 3
for dtype in (torch.float32, torch.float64, torch.int64):
    for op, want in ((dist.ReduceOp.SUM, 6), (dist.ReduceOp.AVG, 2), (dist.ReduceOp.MIN, 1), (dist.ReduceOp.MAX, 3), (dist.ReduceOp.PRODUCT, 6)):
        x = torch.full((2, 3), rank + 1, dtype=dtype).t()
        dist.all_reduce(x, op)
        assert (x == want).all(), (dtype, op, x)
x = torch.full((5,), rank + 1, dtype=torch.int16)
dist.broadcast(x, 2)
assert x.tolist() == [3] * 5
rows = [torch.zeros(5) for _ in range(3)]
dist.all_gather(rows, torch.arange(5.) + 10 * rank)
assert [row.tolist() for row in rows] == [[i + 10. * r for i in range(5)] for r in range(3)]
part = torch.zeros(2)
dist.reduce_scatter(part, [torch.full((2,), float(r)) for r in range(3)])
assert part.tolist() == [3. * rank] * 2
for dtype in (torch.bfloat16, torch.float16):
    for op, want in ((dist.ReduceOp.SUM, 6), (dist.ReduceOp.AVG, 2), (dist.ReduceOp.PRODUCT, 6)):
        x = torch.full((3,), rank + 1, dtype=dtype)
        dist.all_reduce(x, op)
        assert (x == want).all(), (dtype, op, x)
for op, want in ((dist.ReduceOp.SUM, True), (dist.ReduceOp.MAX, True), (dist.ReduceOp.MIN, False), (dist.ReduceOp.PRODUCT, False)):
    x = torch.tensor([rank == 1])
    dist.all_reduce(x, op)
    assert x.item() is want, (op, x)
with torch.inference_mode():
    x = torch.full((4,), float(rank))
    dist.all_reduce(x)
    assert x.tolist() == [3.0] * 4
said = [None] * 3
dist.all_gather_object(said, {"rank": rank, "text": "x" * rank})
assert said == [{"rank": r, "text": "x" * r} for r in range(3)], said
told = ["of rank 1", 7] if rank == 1 else [None, None]
dist.broadcast_object_list(told, 1)
assert told == ["of rank 1", 7]
work = dist.all_reduce(torch.ones(3), async_op=True)
work.wait()
assert work.is_completed() and work.result()[0].tolist() == [3.0] * 3
works = [dist.all_reduce(torch.ones(1000), async_op=True) for _ in range(10)]
for work in works: work.wait()
dist.barrier()
big = torch.full((20 << 20,), float(rank + 1))  # more than the room: in pieces
dist.all_reduce(big)
assert (big == 6).all()
print("all well", rank)
EOF
  write_group "$PWD/ops.py"
  rm -rf muster-out
  run 60 group.yaml || fail "exit code $?: $(tail -5 err.txt)"
  check "on all ranks" [ "$(grep -h 'all well [012]' said-*.txt | wc -l)" = 3 ]
  check "bytes by the formula, of all" [ "$(field '["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"]')" = True ]
}
shapes_that_differ_are_an_error_on_all_ranks() {
  local call
  for call in 'dist.all_gather([torch.zeros(4 + rank)] * 3, torch.zeros(4 + rank))' 'dist.all_reduce(torch.zeros(4 + rank, dtype=torch.int64))'; do
    printf 'import torch, torch.distributed as dist, muster.c10d\ndist.init_process_group("muster")\nrank = dist.get_rank()\n%s\nprint("wrong data was taken")\n' "$call" > apart.py
    rm -rf muster-out said-*.txt
    write_group "$PWD/apart.py" "runPolicy: {maxRestarts: 0}"
    run 60 group.yaml && fail "$call was taken"
    # Those that hear of it later may hear first that the others are gone.
    check "what differs" grep -q 'do not run the same program' said-[012].txt
    check "an error on all ranks" [ "$(grep -l 'RuntimeError: muster: ' said-[012].txt | wc -l)" = 3 ]
    check "nobody goes on" [ "$(grep -l 'wrong data' said-[012].txt | wc -l)" = 0 ]
  done
}
a_peer_that_is_lost_is_named_and_all_begin_anew() {
  cat > dies.py <<'EOF'
import os, signal, sys, torch, torch.distributed as dist, muster.c10d
dist.init_process_group("muster")
rank = dist.get_rank()
for step in range(200):
    if step == 100 and rank == 1 and not os.path.exists(sys.argv[1] + "/died"):
        open(sys.argv[1] + "/died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    dist.all_reduce(torch.ones(1000))
print("all steps", rank)
EOF
  write_group "$PWD/dies.py $PWD" "runPolicy: {maxRestarts: 3}"
  run 90 group.yaml || fail "exit code $?: $(tail -5 err.txt)"
  check "rank 0 names it" contains said-0.txt 'RuntimeError: .*muster: .*rank 1'
  check "rank 2 names it" contains said-2.txt 'RuntimeError: .*muster: .*rank 1'
  check "then all steps" [ "$(grep -h 'all steps [012]' said-*.txt | wc -l)" = 3 ]
  check "one restart" [ "$(field '["restarts"]')" = 1 ]
}

run_case the_same_file_alone_and_in_pods_gives_one_model 90
run_case examples_reach_their_targets 180
run_case an_exception_is_the_last_word_and_the_others_go_on 120
run_case a_program_that_hangs_or_is_killed_costs_its_updates 120
run_case wrong_clients_are_refused_in_words 150
run_case a_stock_ddp_script_has_the_collectives 150
run_case shapes_that_differ_are_an_error_on_all_ranks 150
run_case a_peer_that_is_lost_is_named_and_all_begin_anew 120
finish
