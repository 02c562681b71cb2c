#!/usr/bin/env bash
# `muster run` from manifest to model with the real binaries: a ring, a federation, containers without training.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Reads a safetensors file as any other program would; prints its number of values.
tensor_values() {
  python3 - "$1" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
(size,) = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
header.pop("__metadata__", None)
assert header, "no tensors"
values = 0
for name, tensor in header.items():
    begin, end = tensor["data_offsets"]
    count = 1
    for extent in tensor["shape"]:
        count *= extent
    assert tensor["dtype"] == "F32" and end - begin == 4 * count, name
    floats = struct.unpack("<%df" % count, data[8 + size + begin:8 + size + end])
    assert all(f == f and abs(f) < 1e6 for f in floats), name
    values += count
print(values)
PY
}

ring_ends_with_equal_parameters_and_the_bytes_of_the_formula() {
  write_job job.yaml ring
  timeout 100 "$MUSTER" run job.yaml --output json > out.json 2> err.txt || fail "exit code $?: $(tail -5 err.txt)" || return
  check "one object" [ "$(json out.json 'len(d["objects"])')" = 1 ]
  check "succeeded" [ "$(json out.json 'd["succeeded"] and d["objects"][0]["phase"]')" = Succeeded ]
  check "two ranks with equal parameters" [ "$(json out.json '(d["objects"][0]["ranks"], d["objects"][0]["parametersEqual"])')" = "(2, True)" ]
  # Ring all-reduce: each of n workers sends 2k(n-1)/n bytes a step; with n = 2 that is k, in all 2k a step.
  check "bytes as counted" [ "$(json out.json 'd["objects"][0]["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"]')" = True ]
  local k=$((4 * (60 * 10 + 10)))  # softmax regression of 60 features and 10 classes
  check "bytes as the formula says" [ "$(json out.json 'd["objects"][0]["payloadBytesSent"] == 2 * '$k' * d["objects"][0]["steps"]')" = True ]
  check "all steps done" [ "$(json out.json 'd["objects"][0]["steps"] == d["objects"][0]["totalSteps"] > 0')" = True ]
  check "parameters of the model file" [ "$(tensor_values muster-out/ring/model.safetensors)" = 610 ]
  check "a curve" contains muster-out/ring/curve.svg '</svg>'
  check "a history" contains muster-out/ring/history.csv '^step,loss,accuracy'
  check "progress on standard error" contains err.txt 'DistributedJob/ring: Succeeded'
}

two_files_run_side_by_side_and_end_in_one_table() {
  write_job one.yaml one
  write_job two.yaml two
  timeout 100 "$MUSTER" run one.yaml two.yaml --output-dir out > out.txt 2>&1 || fail "exit code $?: $(tail -5 out.txt)" || return
  check "both in the table" contains out.txt '^object +DistributedJob/one +DistributedJob/two'
  check "formula" contains out.txt 'payload bytes sent +[0-9,]+ = [0-9,]+ of the formula'
  check "model one" [ -s out/one/model.safetensors ]
  check "model two" [ -s out/two/model.safetensors ]
  check "same seed, same data, same model" cmp out/one/model.safetensors out/two/model.safetensors
}

models_are_found_however_their_paths_are_spelt() {
  local spelt i=0
  : > job.yaml
  for spelt in '//checkpoints/m' '/checkpoints/a/../b' '/checkpoints/../checkpoints/o' '/checkpoints/./p/'; do
    i=$((i + 1))
    write_job one.yaml "job$i" "" 1 1
    sed -i "s|path: /checkpoints|path: $spelt|" one.yaml
    { cat one.yaml; echo ---; } >> job.yaml
  done
  write_job one.yaml job5 "" 1 1
  sed -i 's|mountPath: /checkpoints}|mountPath: //checkpoints/, subPath: deep/er}|' one.yaml
  cat one.yaml >> job.yaml
  timeout 100 "$MUSTER" run job.yaml > out.txt 2>&1 || fail "exit code $?: $(tail -5 out.txt)"
  for i in 1 2 3 4 5; do check "model $i" [ -s "muster-out/job$i/model.safetensors" ]; done
  check "where the pod wrote it" [ -s muster-out/volumes/default/job2/b/model.safetensors ]
  check "below the subPath" [ -s muster-out/volumes/default/job5/deep/er/model.safetensors ]
}

labels_that_are_probably_not_meant_are_told() {
  write_job job.yaml csv "" 1 1
  python3 -c '
print("a,a,label")
for i in range(400): print(f"{i % 7},{i % 3},{i % 10}")
print("1,2,25")' > d.csv
  sed -i -e "s/epochs: .*/epochs: 3000/" -e "s|dataset: .*|dataset: {name: csv, path: /data/d.csv}|" \
      -e "s|volumeMounts: .*|volumeMounts: [{name: checkpoints, mountPath: /checkpoints}, {name: data, mountPath: /data}]|" \
      -e "s|^        volumes:|        volumes:\n        - name: data\n          hostPath: {path: \"$PWD\"}|" job.yaml
  timeout 100 "$MUSTER" run job.yaml > out.txt 2>&1 || fail "exit code $?: $(tail -5 out.txt)"
  check "the stray label" contains out.txt 'no example has one of 15 of the 26 classes that its largest label, 25, makes'
  check "its class" contains out.txt '1 of its 11 classes have a single example'
  check "columns of one name" contains out.txt 'its columns 1 and 2 have one name'
}

manifest_comes_from_standard_input_and_the_name_from_the_server() {
  write_job job.yaml stdin "" 1 1
  sed -i '/kind: DistributedJob/{n;s/name: stdin/generateName: stdin-/}' job.yaml
  timeout 100 "$MUSTER" run - < job.yaml > out.txt 2>&1 || fail "exit code $?: $(tail -5 out.txt)"
  check "a folder of the generated name" [ -s muster-out/stdin-?????/model.safetensors ]
}

federation_commits_its_rounds() {
  cat > round.yaml <<'YAML'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Mi}}}
---
apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: fed}
spec:
  rounds: 4
  training:
    model: {name: softmax}
    dataset: {name: synthetic, synthetic: {alpha: 0.5, beta: 0.5, devices: 12}}
    localEpochs: 1
    batchSize: 10
    optimizer: {name: SGD, learningRate: 0.05}
    seed: 3
  cohort: {size: 4, minimum: 2}
  stragglers: {deadlineSeconds: 20}
  aggregator:
    template:
      spec:
        containers:
        - name: aggregator
          volumeMounts: [{name: models, mountPath: /models}]
        volumes:
        - name: models
          persistentVolumeClaim: {claimName: models}
    storage: {path: /models}
  clients:
    count: 12
    perPod: 6
    partition: {kind: Natural}
YAML
  timeout 110 "$MUSTER" run round.yaml --output json > out.json 2> err.txt || fail "exit code $?: $(tail -5 err.txt)" || return
  check "all rounds" [ "$(json out.json '(d["objects"][0]["rounds"], d["objects"][0]["totalRounds"])')" = "(4, 4)" ]
  check "bytes as the formula says" [ "$(json out.json 'd["objects"][0]["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"] > 0')" = True ]
  check "parameters of the model file" [ "$(tensor_values muster-out/fed/model.safetensors)" = 610 ]
}

containers_without_training_get_rank_and_master() {
  cat > plain.yaml <<'YAML'
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: plain}
spec:
  workers:
    replicas: 3
    template:
      spec:
        containers:
        - name: main
          image: busybox
          command: [/bin/sh, -c]
          args: ['echo "$RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT" > /out/$RANK']
          volumeMounts: [{name: out, mountPath: /out}]
        volumes:
        - name: out
          hostPath: {path: "@OUT@", type: DirectoryOrCreate}
YAML
  sed -i "s|@OUT@|$PWD/seen|" plain.yaml
  timeout 60 "$MUSTER" run plain.yaml > out.txt 2>&1 || fail "exit code $?: $(tail -5 out.txt)" || return
  local rank
  for rank in 0 1 2; do
    check "rank $rank" contains "seen/$rank" "^$rank 3 plain-worker-0[.a-z-]* 29500\$"
  done
}

run_case ring_ends_with_equal_parameters_and_the_bytes_of_the_formula 110
run_case two_files_run_side_by_side_and_end_in_one_table 110
run_case models_are_found_however_their_paths_are_spelt 110
run_case labels_that_are_probably_not_meant_are_told 110
run_case manifest_comes_from_standard_input_and_the_name_from_the_server 110
run_case federation_commits_its_rounds 120
run_case containers_without_training_get_rank_and_master 70
finish
